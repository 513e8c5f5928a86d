// The steps of ../steps.py with JDBC; notes go to standard output, one JSON object a line.
// Arguments: host, port, busy and quiet database, id of the rival, columns to read of a model, a test result and a
// comparison, then the statements that are refused.

import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Client {
    static final String TRAIN =
        "INSERT INTO ml_jobs (job_type, priority, train_target_var, train_operator, train_value, train_start,"
        + " train_end, train_features_csv, train_model_type, train_description)"
        + " VALUES ('TRAIN', ?, 'market_cap_close', '>', ?, ?, ?, 'price_open,volume_sol', 'logistic_regression', ?)";
    static final String TEST =
        "INSERT INTO ml_jobs (job_type, status, test_model_id, test_start, test_end) VALUES ('TEST', 'PENDING', ?, ?, ?)";
    static final String COMPARE =
        "INSERT INTO ml_jobs (job_type, compare_model_a_id, compare_model_b_id, compare_start, compare_end)"
        + " VALUES ('COMPARE', ?, ?, ?, ?)";
    static final String DESCRIPTION = "größer als 'alles' \\ 🚀";
    static final OffsetDateTime START = utc("2024-01-01"), END = utc("2024-03-01"), LATER = utc("2024-04-01");

    static OffsetDateTime utc(String day) {
        return LocalDate.parse(day).atStartOfDay().atOffset(ZoneOffset.UTC);
    }

    static String json(Object value) {
        if (value == null || value instanceof Number || value instanceof Boolean) {
            return String.valueOf(value);
        } else if (value instanceof Map<?, ?> map) {
            StringJoiner items = new StringJoiner(", ", "{", "}");
            map.forEach((key, item) -> items.add(json(key) + ": " + json(item)));
            return items.toString();
        } else if (value instanceof List<?> list) {
            StringJoiner items = new StringJoiner(", ", "[", "]");
            list.forEach(item -> items.add(json(item)));
            return items.toString();
        }
        return '"' + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }

    static void note(String field, String name, Object value) {
        System.out.println(json(Map.of(field, Collections.singletonMap(name, value))));
    }

    static void note(String field, Object item) {
        System.out.println(json(Map.of(field, Collections.singletonList(item))));
    }

    static Connection connect(String host, String port, String database, String... options) throws SQLException {
        String url = "jdbc:postgresql://" + host + ":" + port + "/" + database + "?" + String.join("&", options);
        return DriverManager.getConnection(url, "anna", System.getenv("PGPASSWORD"));
    }

    static void run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** Inserts a row and returns its id: RETURNING is what the driver adds for generated keys. */
    static long insert(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql, new String[] {"id"})) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            statement.executeUpdate();
            ResultSet keys = statement.getGeneratedKeys();
            keys.next();
            return keys.getLong(1);
        }
    }

    static Map<String, Object> read(Connection connection, String columns, String table, long id) throws SQLException {
        try (PreparedStatement statement =
                connection.prepareStatement("SELECT " + columns + " FROM " + table + " WHERE id = ?")) {
            statement.setLong(1, id);
            ResultSet row = statement.executeQuery();
            row.next();
            Map<String, Object> found = new LinkedHashMap<>();
            for (int i = 1; i <= row.getMetaData().getColumnCount(); i++) {
                found.put(row.getMetaData().getColumnName(i), row.getObject(i));
            }
            return found;
        }
    }

    static void hear(Connection connection, String wanted) throws SQLException {
        long ends = System.nanoTime() + Duration.ofSeconds(180).toNanos();
        boolean heard = false;
        while (!heard) {
            PGNotification[] notifications = connection.unwrap(PGConnection.class).getNotifications(1000);
            for (PGNotification notification : notifications == null ? new PGNotification[0] : notifications) {
                note("heard", notification.getParameter());
                heard |= notification.getParameter().equals(wanted);
            }
            if (System.nanoTime() > ends) {
                throw new IllegalStateException("waited in vain for " + wanted);
            }
        }
    }

    static long finish(Connection connection, String type, String result, String sql, Object... values)
            throws SQLException {
        long job = insert(connection, sql, values);
        note("jobs", type, job);
        hear(connection, job + " COMPLETED");
        Map<String, Object> row = read(connection, "status, " + result, "ml_jobs", job);
        note("statuses", type, row.get("status"));
        return (Long) row.get(result);
    }

    static void work(Connection anna, long rival, Map<String, String> columns) throws SQLException {
        run(anna, "LISTEN ml_job_status");
        long model = finish(anna, "TRAIN", "result_model_id", TRAIN, 5, 50000, START, END, "with JDBC");
        note("rows", "TRAIN", read(anna, columns.get("TRAIN"), "ml_models", model));
        long test = finish(anna, "TEST", "result_test_id", TEST, model, END, LATER);
        note("rows", "TEST", read(anna, columns.get("TEST"), "ml_test_results", test));
        long comparison = finish(anna, "COMPARE", "result_comparison_id", COMPARE, model, rival, END, LATER);
        note("rows", "COMPARE", read(anna, columns.get("COMPARE"), "ml_comparisons", comparison));
    }

    static void bind(Connection anna, Connection untyped) throws SQLException {
        LocalDateTime start = START.toLocalDateTime(), end = END.toLocalDateTime();
        BigDecimal half = new BigDecimal("50000.5");
        run(anna, "SET TimeZone = 'Europe/Berlin'");
        note("bound", "int4, numeric, timestamptz", insert(anna, TRAIN, 3, half, START, END, DESCRIPTION));
        note("bound", "int8, float8, timestamp without zone", insert(anna, TRAIN, 3L, 50000.5, start, end, DESCRIPTION));
        note("bound", "int2, numeric, java.sql.Timestamp",
            insert(anna, TRAIN, (short) 3, half, Timestamp.from(START.toInstant()), Timestamp.from(END.toInstant()), DESCRIPTION));
        note("bound", "unspecified", insert(untyped, TRAIN, "3", "50000.5", START.toString(), END.toString(), DESCRIPTION));
        String cast = TRAIN.replace("?, 'market_cap_close', '>', ?, ?, ?",
            "?::int, 'market_cap_close', '>', ?::numeric, ?::timestamptz, ?::timestamptz");
        note("bound", "varchar", insert(anna, cast, "3", "50000.5", START.toString(), END.toString(), DESCRIPTION));
        try (PreparedStatement batch = anna.prepareStatement(TRAIN, Statement.RETURN_GENERATED_KEYS)) {
            for (int row = 0; row < 10; row++) {
                batch.setInt(1, 3);
                batch.setBigDecimal(2, half);
                batch.setObject(3, START);
                batch.setObject(4, END);
                batch.setString(5, DESCRIPTION);
                batch.addBatch();
            }
            batch.executeBatch();
            ResultSet keys = batch.getGeneratedKeys();
            while (keys.next()) {
                note("bound", "row " + keys.getRow() + " of a batch", keys.getLong("id"));
            }
        }
    }

    static void ask(Connection anna, List<String> refused) throws SQLException {
        run(anna, "LISTEN ml_job_status");
        long updated = insert(anna, TRAIN, 5, 1, START, END, null);
        try (PreparedStatement update = anna.prepareStatement("UPDATE ml_jobs SET status = ? WHERE id = ?")) {
            update.setString(1, "CANCELLED");
            update.setLong(2, updated);
            update.executeUpdate();
        }
        note("cancelled", "UPDATE", updated);
        hear(anna, updated + " CANCELLED");
        long called = insert(anna, TRAIN, 5, 1, START, END, null);
        try (CallableStatement call = anna.prepareCall("CALL ml.cancel_job(?)")) {
            call.setLong(1, called);
            call.execute();
        }
        note("cancelled", "CALL", called);
        hear(anna, called + " CANCELLED");

        run(anna, "NOTIFY ml_jobs, 'before'");
        anna.setAutoCommit(false);
        note("transactions", "rolled_back", insert(anna, TRAIN, 5, 1, START, END, null));
        anna.rollback();
        run(anna, "NOTIFY ml_jobs, 'rolled back'");
        anna.commit();
        note("transactions", "committed", insert(anna, TRAIN, 5, 1, START, END, null));
        anna.commit();
        anna.setAutoCommit(true);
        run(anna, "NOTIFY ml_jobs, 'committed'");

        for (String sql : refused) {
            try {
                run(anna, sql);
            } catch (PSQLException error) {
                ServerErrorMessage said = error.getServerErrorMessage();
                note("refused", Arrays.asList(error.getSQLState(), said.getMessage(), said.getHint()));
            }
        }
    }

    public static void main(String[] args) throws SQLException {
        System.setOut(new java.io.PrintStream(System.out, true, java.nio.charset.StandardCharsets.UTF_8));
        Map<String, String> columns = Map.of("TRAIN", args[5], "TEST", args[6], "COMPARE", args[7]);
        try (Connection anna = connect(args[0], args[1], args[2])) {
            work(anna, Long.parseLong(args[4]), columns);
        }
        try (Connection anna = connect(args[0], args[1], args[3]);
                Connection untyped = connect(args[0], args[1], args[3], "stringtype=unspecified")) {
            bind(anna, untyped);
            ask(anna, Arrays.asList(args).subList(8, args.length));
        }
    }
}
