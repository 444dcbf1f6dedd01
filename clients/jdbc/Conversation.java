// pgjdbc: simple and extended queries, server-side prepared statements, cursors, batches, COPY, metadata, cancelling.

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.sql.*;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

public class Conversation {
    static String env(String name) {
        return System.getenv(name);
    }

    static Connection connect(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", env("PGUSER"));
        properties.setProperty("password", env("PGPASSWORD"));
        properties.setProperty("sslmode", env("PGSSLMODE"));
        for (int i = 0; i < more.length; i += 2) properties.setProperty(more[i], more[i + 1]);
        String url = "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE");
        return DriverManager.getConnection(url, properties);
    }

    public static void main(String[] args) throws Exception {
        for (String mode : new String[] {"extended", "simple", "extendedForPrepared", "extendedCacheEverything"}) {
            System.out.println("mode " + mode);
            try (Connection c = connect("preferQueryMode", mode, "prepareThreshold", "2")) {
                converse(c, mode);
            }
        }
        try (Connection c = connect("assumeMinServerVersion", "12", "ApplicationName", "clients", "options", "-c work_mem=1234kB")) {
            System.out.println(one(c, "SHOW work_mem") + " " + one(c, "SHOW application_name"));
        }
    }

    static String one(Connection c, String query) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(query)) {
            r.next();
            return r.getString(1);
        }
    }

    static void converse(Connection c, String mode) throws Exception {
        DatabaseMetaData meta = c.getMetaData();
        System.out.println(meta.getDatabaseMajorVersion() + " " + meta.getDriverName());
        try (Statement s = c.createStatement()) {
            s.execute("DROP TABLE IF EXISTS j");
            s.execute("CREATE TABLE j(id serial PRIMARY KEY, t text, n numeric, b bytea, d timestamptz, a int[])");
        }
        try (PreparedStatement p = c.prepareStatement("INSERT INTO j(t, n, b, d, a) VALUES (?, ?, decode(?, 'hex'), ?, ?::int[])", Statement.RETURN_GENERATED_KEYS)) {
            for (int i = 0; i < 10; i++) {
                p.setString(1, "naïve ☃ " + i);
                p.setBigDecimal(2, new BigDecimal("12345.6789"));
                p.setString(3, "0001ff");
                p.setTimestamp(4, new Timestamp(0));
                p.setString(5, "{1,NULL," + i + "}");
                p.executeUpdate();
                try (ResultSet keys = p.getGeneratedKeys()) {
                    keys.next();
                    if (i == 9) System.out.println("key " + keys.getInt(1));
                }
            }
            for (int i = 0; i < 300; i++) {
                p.setString(1, "batch " + i);
                p.setBigDecimal(2, null);
                p.setString(3, null);
                p.setTimestamp(4, null);
                p.setString(5, null);
                p.addBatch();
            }
            System.out.println(Arrays.stream(p.executeBatch()).sum());
        }
        if (!mode.equals("simple")) {
            try (PreparedStatement p = c.prepareStatement("INSERT INTO j(b, a) VALUES (?, ?)")) {
                for (int i = 0; i < 5; i++) {
                    p.setBytes(1, new byte[] {0, 1, -1});
                    p.setArray(2, c.createArrayOf("int4", new Integer[] {1, null, i}));
                    System.out.print(p.executeUpdate());
                }
                System.out.println();
            }
        }
        try (PreparedStatement p = c.prepareStatement("SELECT * FROM j WHERE id = ?")) {
            for (int i = 1; i <= 6; i++) {
                p.setInt(1, i);
                try (ResultSet r = p.executeQuery()) {
                    r.next();
                    System.out.println(r.getString("t") + " " + r.getBigDecimal("n") + " " + r.getBytes("b").length + " " + r.getTimestamp("d").getTime() + " " + r.getArray("a"));
                }
            }
        }
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(50);
            int rows = 0;
            try (ResultSet r = s.executeQuery("SELECT * FROM j, generate_series(1, 3) ORDER BY id")) {
                while (r.next()) rows++;
            }
            System.out.println("fetched " + rows);
            Savepoint savepoint = c.setSavepoint();
            try {
                s.executeUpdate("INSERT INTO j(id) VALUES (1)");
            } catch (SQLException error) {
                System.out.println(error.getSQLState() + " " + error.getMessage());
            }
            c.rollback(savepoint);
            System.out.println(s.executeUpdate("UPDATE j SET t = 'x' WHERE id < 5"));
        }
        c.rollback();
        c.setAutoCommit(true);
        CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 2000; i++) lines.append(i + 5000).append("\tcopied\n");
        System.out.println("copied " + copy.copyIn("COPY j(id, t) FROM STDIN", new StringReader(lines.toString())));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        System.out.println("copied " + copy.copyOut("COPY j(id, t) TO STDOUT", out) + " " + out.size());
        try {
            copy.copyIn("COPY j(id) FROM STDIN", new StringReader("x\n"));
        } catch (SQLException error) {
            System.out.println(error.getSQLState());
        }
        for (String wrong : new String[] {"SELECT 1/0", "SELEC", "SELECT * FROM nowhere", "SELECT 'x'::int"}) {
            try (Statement s = c.createStatement()) {
                s.execute(wrong);
            } catch (SQLException error) {
                System.out.println(error.getSQLState() + " " + error.getMessage().lines().findFirst().orElse(""));
            }
        }
        try (Statement s = c.createStatement()) {
            boolean more = s.execute("SELECT 1; UPDATE j SET t = 'y' WHERE id = 1; SELECT 2");
            System.out.println(more + " " + s.getMoreResults() + " " + s.getUpdateCount() + " " + s.getMoreResults());
            s.setQueryTimeout(1);
            try {
                s.execute("SELECT pg_sleep(30)");
            } catch (SQLException error) {
                System.out.println("timeout " + error.getSQLState());
            }
            s.setQueryTimeout(0);
            s.execute("LISTEN here");
            s.execute("NOTIFY here, 'there'");
        }
        PGNotification[] heard = c.unwrap(PGConnection.class).getNotifications(2000);
        System.out.println("heard " + heard[0].getName() + " " + heard[0].getParameter());
        try (ResultSet r = meta.getColumns(null, "public", "j", null)) {
            while (r.next()) System.out.print(r.getString("COLUMN_NAME") + ":" + r.getString("TYPE_NAME") + " ");
        }
        try (ResultSet r = meta.getPrimaryKeys(null, "public", "j")) {
            r.next();
            System.out.println(r.getString("COLUMN_NAME"));
        }
        try (Statement s = c.createStatement()) {
            ResultSet r = s.executeQuery("DO $$ BEGIN RAISE NOTICE 'to you'; END $$; SELECT 1");
        } catch (SQLException error) {
            System.out.println(error.getSQLState());
        }
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        c.setReadOnly(true);
        c.setAutoCommit(false);
        System.out.println(one(c, "SHOW transaction_isolation") + " " + one(c, "SHOW transaction_read_only"));
        c.rollback();
    }
}
