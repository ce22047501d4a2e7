package stator;

import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBHashKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBRangeKey;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBTable;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBTyped;
import com.amazonaws.services.dynamodbv2.datamodeling.DynamoDBMapperFieldModel.DynamoDBAttributeType;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** An item with attributes of every type that the mapper knows. */
@DynamoDBTable(tableName = "each test has a name of its own")
public class Everything {
    private String author;
    private int year;
    private BigDecimal number;
    private ByteBuffer bytes;
    private boolean yes;
    private List<String> list;
    private Map<String, Integer> map;
    private Set<String> strings;
    private Set<BigDecimal> numbers;
    private Set<ByteBuffer> binaries;

    @DynamoDBHashKey
    public String getAuthor() {
        return author;
    }

    public void setAuthor(String author) {
        this.author = author;
    }

    @DynamoDBRangeKey
    public int getYear() {
        return year;
    }

    public void setYear(int year) {
        this.year = year;
    }

    public BigDecimal getNumber() {
        return number;
    }

    public void setNumber(BigDecimal number) {
        this.number = number;
    }

    public ByteBuffer getBytes() {
        return bytes;
    }

    public void setBytes(ByteBuffer bytes) {
        this.bytes = bytes;
    }

    // A number otherwise: the mapper is older than the type.
    @DynamoDBTyped(DynamoDBAttributeType.BOOL)
    public boolean isYes() {
        return yes;
    }

    public void setYes(boolean yes) {
        this.yes = yes;
    }

    public List<String> getList() {
        return list;
    }

    public void setList(List<String> list) {
        this.list = list;
    }

    public Map<String, Integer> getMap() {
        return map;
    }

    public void setMap(Map<String, Integer> map) {
        this.map = map;
    }

    public Set<String> getStrings() {
        return strings;
    }

    public void setStrings(Set<String> strings) {
        this.strings = strings;
    }

    public Set<BigDecimal> getNumbers() {
        return numbers;
    }

    public void setNumbers(Set<BigDecimal> numbers) {
        this.numbers = numbers;
    }

    public Set<ByteBuffer> getBinaries() {
        return binaries;
    }

    public void setBinaries(Set<ByteBuffer> binaries) {
        this.binaries = binaries;
    }

    /** All but the key, to compare. */
    List<Object> values() {
        return List.of(number, bytes, yes, list, map, strings, numbers, binaries);
    }
}
