// clickhouse-jdbc at its defaults.

import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

public class Client {
    static void must(boolean ok, Object what) {
        if (!ok) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    static Connection connect(String... settings) throws SQLException {
        Properties properties = new Properties();
        properties.put("user", "default");
        properties.put("password", System.getenv("PASSWORD"));
        for (int at = 0; at < settings.length; at += 2) {
            properties.put(settings[at], settings[at + 1]);
        }
        String address = System.getenv("ENGINE") + "/" + System.getenv("DATABASE");
        return DriverManager.getConnection("jdbc:clickhouse://" + address, properties);
    }

    // A table, an insert, parameters and every type of our views.
    static void use(Connection connection, String table) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE " + table + " (id UInt64, name LowCardinality(String),"
                + " note Nullable(String), day Date, ok Bool, tags Array(String))"
                + " ENGINE = MergeTree ORDER BY id");
        }
        String insert = "INSERT INTO " + table + " VALUES (?, ?, ?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int n = 0; n < 1000; n++) {
                statement.setLong(1, n);
                statement.setString(2, "n" + n % 3);
                statement.setString(3, n % 2 == 0 ? "it's ü" : null);
                statement.setDate(4, Date.valueOf("2026-03-01"));
                statement.setBoolean(5, n % 2 == 1);
                statement.setArray(6, connection.createArrayOf("String", new String[] {"a", "b"}));
                statement.addBatch();
            }
            must(statement.executeBatch().length == 1000, "batch");
        }
        String select = "SELECT * FROM " + table + " WHERE id = ?";
        try (PreparedStatement statement = connection.prepareStatement(select)) {
            statement.setLong(1, 8);
            ResultSet found = statement.executeQuery();
            must(found.next() && found.getString("name").equals("n2"), "name");
            must(found.getString("note").equals("it's ü") && !found.getBoolean("ok"), "note");
            must(found.getArray("tags") != null && !found.next(), "tags");
        }
        for (String view : System.getenv("VIEWS").split(",")) {
            try (Statement statement = connection.createStatement()) {
                ResultSet found = statement.executeQuery("SELECT * FROM " + view);
                must(found.next(), view);
                for (int at = 1; at <= found.getMetaData().getColumnCount(); at++) {
                    found.getObject(at);
                }
            }
        }
    }

    static void useSession() throws SQLException {
        String[] settings = {"clickhouse_setting_session_id", "of java"};
        try (Connection connection = connect(settings);
            Statement statement = connection.createStatement()) {
            statement.execute("CREATE TEMPORARY TABLE kept (n UInt8)");
            statement.execute("INSERT INTO kept VALUES (1), (2)");
            ResultSet found = statement.executeQuery("SELECT sum(n) FROM kept");
            must(found.next() && found.getInt(1) == 3, "sum");
        }
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = connect()) {
            use(connection, "java");
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT * FROM nowhere");
                must(false, "an unknown table");
            } catch (SQLException error) {
                must(error.getErrorCode() == 60, error);
                must(error.getMessage().contains("UNKNOWN_TABLE"), error);
            }
        }
        try (Connection connection = connect("decompress", "true")) {
            use(connection, "java_packed");
        }
        useSession();
        System.out.println("done");
    }
}
