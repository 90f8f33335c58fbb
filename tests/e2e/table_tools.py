"""Rows: SQLite with the disk as its database file; and the network block device's programs."""

import shlex


def sql(*statements):
    return "sqlite3 {img} " + shlex.quote("; ".join(statements) + ";")


FILL = ("CREATE TABLE IF NOT EXISTS u(a INTEGER PRIMARY KEY, b TEXT, c BLOB)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) "
        "INSERT INTO u SELECT i, 'value ' || i, zeroblob(i * 3) FROM n")
CHECK = ("PRAGMA integrity_check", "SELECT count(*), sum(length(c)) FROM u")


def rows(t):
    def add(name, cmd, **facts):
        facts.setdefault("needs", "sqlite3")
        facts.setdefault("writes", True)
        t.add("sqlite/" + name, cmd, **facts)

    add("create", sql(*FILL, *CHECK), on="zero zerobig")
    add("select", sql("SELECT count(*), max(name) FROM t", "SELECT id FROM t WHERE name = 'row 77'",
                      "PRAGMA integrity_check", "PRAGMA page_count"),
        on="db", writes=False, rw=True)
    add("insert", sql(*FILL, *CHECK), on="db")
    add("update", sql("UPDATE t SET name = name || ' changed' WHERE id % 3 = 0",
                      "PRAGMA integrity_check",
                      "SELECT count(*) FROM t WHERE name LIKE '%changed'"), on="db")
    add("delete-vacuum", sql("DELETE FROM t WHERE id > 50", "VACUUM", "PRAGMA integrity_check",
                             "PRAGMA page_count"), on="db")
    add("vacuum-grow", sql(*FILL, "VACUUM", "PRAGMA page_size = 8192", "VACUUM", *CHECK),
        on='db zerobig')
    add("incremental-vacuum", sql("PRAGMA auto_vacuum = 2", "VACUUM", *FILL,
                                  "DELETE FROM u WHERE a > 20", "PRAGMA incremental_vacuum",
                                  *CHECK), on="db")
    for mode in ("delete", "truncate", "persist", "memory", "off"):
        add("journal-" + mode, sql("PRAGMA journal_mode = " + mode, *FILL,
                                   "BEGIN", "UPDATE u SET b = 'x'",
                                   "ROLLBACK" if mode != "off" else "COMMIT",
                                   "BEGIN", "DELETE FROM u WHERE a < 9", "COMMIT", *CHECK),
            on="db zerobig" if mode == "delete" else "db", scratch=["*-journal"])
    add("wal", sql("PRAGMA journal_mode = wal", *FILL, *CHECK, "PRAGMA wal_checkpoint(TRUNCATE)"),
        on="db", scratch=["*-wal", "*-shm"])
    add("wal-many", "; ".join([sql("PRAGMA journal_mode = wal"), sql(*FILL),
                               sql("UPDATE u SET b = 'y'"), sql(*CHECK),
                               sql("PRAGMA journal_mode = delete")]),
        on="db zerobig", scratch=["*-wal", "*-shm"])
    for sync in ("off", "normal", "full", "extra"):
        add("synchronous-" + sync, sql("PRAGMA synchronous = " + sync, *FILL, *CHECK), on="db")
    add("exclusive", sql("PRAGMA locking_mode = exclusive", *FILL, *CHECK), on="db")
    add("page-512", sql("PRAGMA page_size = 512", *FILL, *CHECK), on="zero zerobig")
    add("page-64k", sql("PRAGMA page_size = 65536", *FILL, *CHECK), on="zerobig")
    add("cache-spill", sql("PRAGMA cache_size = 5", "BEGIN", *FILL,
                           "UPDATE u SET c = zeroblob(2000)", "ROLLBACK",
                           "PRAGMA integrity_check"), on="db")
    add("savepoints", sql("SAVEPOINT a", "DELETE FROM t", "ROLLBACK TO a",
                          "INSERT INTO t VALUES(9999, 'n', 1)", "RELEASE a",
                          "SELECT count(*) FROM t", "PRAGMA integrity_check"), on="db")
    add("dump", "sqlite3 {img} .dump | md5sum; sqlite3 {img} '.backup out' && sqlite3 out "
        "'PRAGMA integrity_check'", on="db", writes=False, rw=True)
    add("restore", "cp {img} copy; sqlite3 copy 'DELETE FROM t WHERE id > 100'; sqlite3 {img} "
        "'.restore copy'; sqlite3 {img} 'SELECT count(*) FROM t'; rm copy", on="db")
    add("attach", "sqlite3 other 'CREATE TABLE o(x); INSERT INTO o VALUES(1),(2);'; " +
        sql("ATTACH 'other' AS o", "BEGIN", "INSERT INTO t(name) SELECT 'o' || x FROM o.o",
            "INSERT INTO o.o SELECT id FROM t", "COMMIT", "SELECT count(*) FROM t, o.o") +
        "; rm other", on="db")
    add("vacuum-into", sql("VACUUM INTO 'out'") + "; sqlite3 out 'PRAGMA integrity_check'", on="db",
        writes=False, rw=True)
    add("readonly", "sqlite3 -readonly {img} 'SELECT count(*) FROM t; DELETE FROM t;'", on="db",
        writes=False, passes=False)
    add("not-a-database", "sqlite3 {img} 'SELECT * FROM t'", on="half", writes=False, passes=False)
    add("locked", "coproc sqlite3 {img}; echo 'BEGIN EXCLUSIVE; SELECT 1;' >&${COPROC[1]}; read "
        "-r x <&${COPROC[0]}; sqlite3 {img} 'SELECT count(*) FROM t'; echo 'COMMIT;' "
        ">&${COPROC[1]}; p=$COPROC_PID; eval \"exec ${COPROC[1]}>&-\"; wait $p; sqlite3 {img} "
        "'SELECT count(*) FROM t'", on="db", writes=True, touch=[])
    add("shared-readers", "coproc sqlite3 {img}; echo 'BEGIN; SELECT count(*) FROM t;' "
        ">&${COPROC[1]}; read -r x <&${COPROC[0]}; sqlite3 {img} 'SELECT count(*) FROM t'; "
        "sqlite3 {img} 'DELETE FROM t'; p=$COPROC_PID; eval \"exec ${COPROC[1]}>&-\"; wait $p",
        on="db", writes=True, touch=[])
    add("hot-journal", "coproc sqlite3 {img}; echo 'PRAGMA cache_size=5; BEGIN; UPDATE t SET "
        "body = zeroblob(3000); SELECT 1;' >&${COPROC[1]}; read -r x <&${COPROC[0]}; "
        "p=$COPROC_PID; kill -9 $p; wait $p; sqlite3 {img} 'PRAGMA integrity_check; SELECT "
        "sum(length(body)) FROM t'", on="db", mask="killed")
    add("mmap-read",
        sql("PRAGMA mmap_size = 1048576", "SELECT count(*), sum(length(body)) FROM t"), on="db")
    add("mmap-write", sql("PRAGMA mmap_size = 1048576", *FILL, *CHECK), on="db zerobig")
    add("mmap-shrink", sql("PRAGMA mmap_size = 1048576", *FILL, "DELETE FROM u WHERE a > 20",
                           "VACUUM", *CHECK), on="db")
    add("mmap-two", "coproc sqlite3 {img}; echo 'PRAGMA mmap_size = 1048576; SELECT count(*) FROM t;' "
        ">&${COPROC[1]}; read -r x <&${COPROC[0]}; read -r x <&${COPROC[0]}; echo $x; " +
        sql("PRAGMA mmap_size = 1048576", "UPDATE t SET name = 'other' WHERE id % 2", *FILL) +
        "; echo \"SELECT count(*) FROM t WHERE name = 'other'; SELECT sum(length(c)) FROM u;\" "
        ">&${COPROC[1]}; read -r x <&${COPROC[0]}; echo $x; read -r x <&${COPROC[0]}; echo $x; "
        "p=$COPROC_PID; eval \"exec ${COPROC[1]}>&-\"; wait $p", on="db")
    nbd(t)


def nbd(t):
    """nbdcopy maps what it reads, to ask what of it is in memory."""
    serve = "[ nbdkit --exit-with-parent file {img} ]"
    t.add("nbdcopy/out", "nbdcopy {img} out", on="all hole blank64", needs="nbdcopy")
    t.add("nbdcopy/in", "nbdcopy {dir}/mib {img}", on="half random", needs="nbdcopy", writes=True)
    t.add("nbdcopy/served", "nbdcopy -- %s out" % serve, on="half odd chain3",
          needs="nbdcopy nbdkit", rw=True)
    t.add("nbdcopy/served-in", "nbdcopy -- {dir}/mib %s" % serve, on="half random",
          needs="nbdcopy nbdkit", writes=True)
