package com.example.service;

import java.util.List;
import org.springframework.data.jpa.repository.JpaRepository;

interface Books extends JpaRepository<Book, Long> {
    List<Book> findByTitleContaining(String part);
}
