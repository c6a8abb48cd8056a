package com.example.service;

import com.github.luben.zstd.Zstd;
import java.io.IOException;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.xerial.snappy.Snappy;

@RestController
class BooksController {
    private final Books books;
    private final BookMapper mapper;

    BooksController(Books books, BookMapper mapper) {
        this.books = books;
        this.mapper = mapper;
    }

    @PostMapping("/books")
    BookView add(@RequestParam String title) {
        var book = new Book();
        book.setTitle(title);
        return mapper.view(books.save(book));
    }

    @GetMapping("/books")
    List<BookView> find(@RequestParam(defaultValue = "") String part) {
        return books.findByTitleContaining(part).stream().map(mapper::view).toList();
    }

    @GetMapping("/native")
    Map<String, Object> natively() throws IOException, SQLException {
        try (var connection = DriverManager.getConnection("jdbc:sqlite::memory:");
                var answer = connection.createStatement().executeQuery("select sqlite_version()")) {
            answer.next();
            return Map.of(
                    "sqlite", answer.getString(1),
                    "zstd", new String(Zstd.decompress(Zstd.compress("hello".getBytes()), 5)),
                    "snappy", Snappy.uncompressString(Snappy.compress("hello")));
        }
    }
}
