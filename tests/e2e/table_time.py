"""Rows: files used at odd times, and other libraries in the chain of those that are preloaded."""

TIME = ("atexit signals signal_log cancel cancel_asynchronous "
        "cancel_point")


def rows(t):
    times(t)
    preloads(t)


def times(t):
    """Programs that end with another status than 0, and the library that begins first and ends last."""
    for mode in TIME.split():
        t.add("time/" + mode, "{bin}/time_ops %s {img}" % mode, on="half random", needs="cc", writes=True)
    for mode in ("quick_exit", "_exit", "threads", "main_ends"):
        t.add("time/" + mode, "{bin}/time_ops %s {img}; echo $?" % mode, on="half random", needs="cc",
              writes=True)
    build = ("cc -shared -fPIC -DLIBRARY {progs}/time_ops.c -o early.so && cc -pthread {progs}/time_ops.c "
             "-Wl,--no-as-needed ./early.so -o use && ")
    for name, how in (("linked", "./use plain {img}"),
                      ("preloaded", "LD_PRELOAD=${LD_PRELOAD-}:./early.so {bin}/time_ops plain {img}"),
                      ("preloaded_first", "LD_PRELOAD=./early.so:${LD_PRELOAD-} {bin}/time_ops plain {img}"),
                      ("linked_quick", "./use quick_exit {img}; echo $?"),
                      ("linked_fork", "./use atexit {img}; ./use _exit {img}; echo $?")):
        t.add("time/" + name, build + "TIME_FILE={img} " + how + "; rm early.so use", on="half random",
              needs="cc", writes=True)


def preloads(t):
    """Other libraries that are preloaded: before ours, and behind it."""
    lib = "/usr/lib/x86_64-linux-gnu/"
    programs = (("ops", "{bin}/fd_ops sixtyfour {img}", "cc"), ("stdio", "{bin}/stdio_ops rplus {img}", "cc"),
                ("spawn", "{bin}/spawn_ops write {img}", "cc"),
                ("dd", "dd if=/dev/zero of={img} bs=700 count=3 seek=5 conv=notrunc,fsync status=none && "
                 "cksum <{img}", ""),
                ("python", "/usr/bin/python3 {progs}/py_write.py {img}", "/usr/bin/python3"))
    for other, library, setting in (("eatmydata", "libeatmydata.so", ""),
                                    ("faketime", "faketime/libfaketime.so.1", "FAKETIME=-3650d ")):
        for name, cmd, needs in programs:
            for order, value in (("first", lib + library + ":${LD_PRELOAD-}"),
                                 ("behind", "${LD_PRELOAD-}:" + lib + library)):
                t.add("preload/%s-%s-%s" % (other, order, name),
                      "export LD_PRELOAD=%s; %s%s" % (value, setting, cmd.replace("&& ", "&& " + setting)),
                      on="half", needs=needs + " " + other, writes=True)
    for name, cmd, needs in programs:
        cmd += "; stat -c '%U %s' {img}; chown 1:1 {img}; stat -c '%u %s' {img}"
        t.add("preload/fakeroot-first-" + name, "fakeroot -- bash -c '%s'" % cmd.replace("'", '"'),
              on="half", needs=needs + " fakeroot", writes=True)
        t.add("preload/fakeroot-behind-" + name,
              "fakeroot -- bash -c 'export LD_PRELOAD=${LD_PRELOAD#*:}:${LD_PRELOAD%%%%:*}; %s'"
              % cmd.replace("'", '"'), on="half", needs=needs + " fakeroot", writes=True)
    t.add("preload/own-open", "cc -rdynamic {progs}/own_open.c -o own && ./own {img}; rm own", on="half random",
          needs="cc", writes=True)
    t.add("preload/asan", "cc -fsanitize=address -g -w {progs}/stdio_ops.c -pthread -o checked && "
          "LD_PRELOAD=$(cc -print-file-name=libasan.so):${LD_PRELOAD-} ASAN_OPTIONS=detect_leaks=0 "
          "./checked rplus {img}; rm checked", on="half", needs="cc", writes=True)
