// Streams of C++: `fstream_ops MODE FILE`.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

using std::fstream;
using std::ios;

static uint32_t sum(const std::string &data)
{
    uint32_t h = 2166136261u;

    for (unsigned char c : data)
        h = (h ^ c) * 16777619u;
    return h;
}

static void show(const char *what, std::istream &in, size_t want)
{
    std::string data(want, '\0');

    in.read(&data[0], (std::streamsize)want);
    data.resize((size_t)in.gcount());
    printf("%s: %zu bytes %08x eof %d fail %d\n", what, data.size(), sum(data), in.eof(), in.fail());
    in.clear();
}

static void do_read(const char *path)
{
    std::ifstream in(path, ios::binary);

    printf("open %d\n", in.is_open());
    show("start", in, 700);
    printf("get %d peek %d", in.get(), in.peek());
    in.unget();
    printf(" unget %d\n", in.get());
    in.seekg(3000);
    show("seek", in, 9000);
    printf("tellg %lld\n", (long long)in.tellg());
    in.seekg(-10, ios::end);
    show("tail", in, 100);
    in.seekg(-5, ios::cur);
    printf("tellg %lld\n", (long long)in.tellg());
    in.seekg(5LL << 30);
    show("far", in, 10);
    in.seekg(0);
    std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    printf("all %zu %08x\n", all.size(), sum(all));
    in.close();
    in.open("absent");
    printf("absent %d\n", in.is_open());
    in.clear();
    in.open(path);
    std::string line;
    size_t lines = 0;
    while (lines < 100 && std::getline(in, line))
        lines++;
    printf("lines %zu %08x\n", lines, sum(line));
}

static void do_write(const char *path)
{
    fstream f(path, ios::in | ios::out | ios::binary);

    f.seekp(1021);
    f << "text " << 42 << ' ' << 2.5 << std::endl;
    f.seekg(1000);
    show("patched", f, 60);
    f.seekp(-6, ios::end);
    f.write("at the end", 10);
    printf("tellp %lld\n", (long long)f.tellp());
    std::vector<char> big(200000, 'b');
    f.seekp(20000);
    f.write(big.data(), (std::streamsize)big.size());
    f.flush();
    printf("good %d\n", f.good());
    f.seekg(19990);
    show("big", f, 20);
    f.seekp(500);
    f.put('p');
    f.seekg(0);
    show("start", f, 600);
}

static void do_modes(const char *path)
{
    {
        std::ofstream out(path, ios::app);
        out << "appended";
        out.seekp(0);
        out << ", and more";
    }
    {
        fstream f(path, ios::in | ios::out | ios::ate);
        printf("ate %lld\n", (long long)f.tellg());
        f.seekg(-18, ios::end);
        show("tail", f, 30);
    }
    {
        fstream f(path, ios::in | ios::app);
        show("start", f, 10);
        f << "again";
    }
    {
        std::ofstream out(path, ios::in);
        out << "kept";
    }
    {
        std::ifstream in(path);
        in.seekg(0, ios::end);
        printf("size %lld\n", (long long)in.tellg());
    }
    {
        std::ofstream out(path);
        out << "all there is";
    }
    std::ifstream in(path);
    show("short", in, 100);
}

static void do_unbuffered(const char *path)
{
    std::filebuf buffer;
    char own[128];

    buffer.pubsetbuf(nullptr, 0);
    printf("open %d\n", buffer.open(path, ios::in | ios::out) != nullptr);
    for (int i = 0; i < 20; i++)
        buffer.sputc((char)('a' + i));
    buffer.pubseekpos(10);
    printf("%c%c", (char)buffer.sbumpc(), (char)buffer.sgetc());
    printf(" %ld\n", (long)buffer.in_avail());
    buffer.close();
    buffer.pubsetbuf(own, sizeof(own));
    buffer.open(path, ios::in);
    std::istream in(&buffer);
    show("own buffer", in, 1000);
    fstream a(path), b;
    a.seekg(300);
    b = std::move(a);
    show("moved", b, 30);
}

static void do_cin(const char *)
{
    std::string word, rest;

    std::cin >> word;
    std::getline(std::cin, rest);
    printf("%08x %08x\n", sum(word), sum(rest));
    show("cin", std::cin, 5000);
}

static void do_cout(const char *)
{
    std::cout << "hello " << 7 << '\n';
    for (int i = 0; i < 5000; i++)
        std::cout << i << ',';
    std::cout << std::flush;
    std::clog << "log" << std::endl;
    printf("and stdio\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const char *path);
    } modes[] = {
        { "read", do_read }, { "write", do_write }, { "modes", do_modes },
        { "unbuffered", do_unbuffered }, { "cin", do_cin }, { "cout", do_cout },
    };

    for (const auto &mode : modes)
        if (argc == 3 && !strcmp(argv[1], mode.name)) {
            mode.run(argv[2]);
            return 0;
        }
    return 2;
}
