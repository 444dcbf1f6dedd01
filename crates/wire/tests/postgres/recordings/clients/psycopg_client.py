"""psycopg 3: the extended protocol, pipeline mode with an error in the middle, binary parameters, server-side cursors, copies."""

import psycopg

with psycopg.connect(dbname="shop", user="pencil", password="pencil", autocommit=True) as connection:
    connection.execute("create temp table t (id int primary key, name text, data bytea)")
    for number in range(7):  # the sixth is prepared
        connection.execute("insert into t values (%s, %s, %b)", (number, f"name {number}", bytes([number, 0, 255])))
    try:
        connection.execute("insert into t values (%s, %s)", (1, "duplicate"))
    except psycopg.errors.UniqueViolation:
        pass
    with connection.transaction(), connection.cursor("named", binary=True) as cursor:
        cursor.itersize = 2
        cursor.execute("select * from t where id >= %s", (0,))
        print(len(list(cursor)))
    try:
        with connection.pipeline(), connection.cursor() as cursor:
            cursor.execute("select %s::int", (1,))
            cursor.execute("select 1 / %s", (0,))
            cursor.execute("insert into t values (%s)", (99,))
    except psycopg.Error as error:
        print(type(error).__name__)
    with connection.pipeline() as pipeline, connection.cursor() as cursor:
        for number in range(20):
            cursor.execute("update t set name = %s where id = %s", ("updated", number))
            if number % 6 == 5:
                pipeline.sync()
    with connection.cursor() as cursor:
        with cursor.copy("copy t (id, name) from stdin") as copy:
            for number in range(100, 120):
                copy.write_row((number, "copied"))
        with cursor.copy("copy t to stdout (format binary)") as copy:
            print(sum(len(data) for data in copy))
        try:
            with cursor.copy("copy t (id) from stdin") as copy:
                copy.write_row((100,))
        except psycopg.errors.UniqueViolation:
            pass
        try:
            with cursor.copy("copy t (id) from stdin") as copy:
                copy.write_row((5000,))
                raise ValueError("changed my mind")
        except ValueError:
            pass
    print(connection.execute("select count(*) from t").fetchone())
