package com.example.service;

record BookView(Long id, String title) {}
