package stator;

import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBHashKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBIndexHashKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBIndexRangeKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBRangeKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBTable;
import java.util.Arrays;
import java.util.List;

/** An item of the story. */
@DynamoDBTable(tableName = "each test has a name of its own")
public class Book {
    /** What stands on a shelf at first. */
    static final List<Book> BOOKS =
            List.of(
                    new Book("Lem", 1961, "Solaris", "sf", 3),
                    new Book("Lem", 1964, "The Invincible", "sf", 1),
                    new Book("Lem", 1965, "The Cyberiad", "satire", 2),
                    new Book("Lem", 1968, "His Master's Voice", "sf", 1),
                    new Book("Lem", 1971, "The Futurological Congress", "satire", 4),
                    new Book("Le Guin", 1968, "A Wizard of Earthsea", "fantasy", 5),
                    new Book("Le Guin", 1969, "The Left Hand of Darkness", "sf", 2),
                    new Book("Le Guin", 1974, "The Dispossessed", "sf", 0),
                    new Book("Christie", 1934, "Murder on the Orient Express", "crime", 6),
                    new Book("Christie", 1939, "And Then There Were None", "crime", 2));

    private String author;
    private int year;
    private String title;
    private String genre;
    private int copies;

    /** The mapper's. */
    public Book() {}

    Book(String author, int year, String title, String genre, int copies) {
        this.author = author;
        this.year = year;
        this.title = title;
        this.genre = genre;
        this.copies = copies;
    }

    @DynamoDBHashKey
    public String getAuthor() {
        return author;
    }

    public void setAuthor(String author) {
        this.author = author;
    }

    @DynamoDBRangeKey
    @DynamoDBIndexRangeKey(globalSecondaryIndexName = "by-genre")
    public int getYear() {
        return year;
    }

    public void setYear(int year) {
        this.year = year;
    }

    public String getTitle() {
        return title;
    }

    public void setTitle(String title) {
        this.title = title;
    }

    @DynamoDBIndexHashKey(globalSecondaryIndexName = "by-genre")
    public String getGenre() {
        return genre;
    }

    public void setGenre(String genre) {
        this.genre = genre;
    }

    public int getCopies() {
        return copies;
    }

    public void setCopies(int copies) {
        this.copies = copies;
    }

    private List<Object> parts() {
        return Arrays.asList(author, year, title, genre, copies);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Book book && parts().equals(book.parts());
    }

    @Override
    public int hashCode() {
        return parts().hashCode();
    }

    @Override
    public String toString() {
        return parts().toString();
    }
}
