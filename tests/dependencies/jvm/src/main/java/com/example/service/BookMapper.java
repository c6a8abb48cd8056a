package com.example.service;

import org.mapstruct.Mapper;

@Mapper(componentModel = "spring")
interface BookMapper {
    BookView view(Book book);
}
