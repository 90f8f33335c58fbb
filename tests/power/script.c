/* Scripts to and from text. */
#include "script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum args { ARGS_NONE, ARGS_OFF, ARGS_LEN, ARGS_BOTH };

static const struct {
    const char *name;
    enum args args;
} words[DOES_COUNT] = {
    [DOES_WRITE] = { "write", ARGS_BOTH },          [DOES_APPEND] = { "append", ARGS_LEN },
    [DOES_TRUNCATE] = { "truncate", ARGS_OFF },     [DOES_PUNCH] = { "punch", ARGS_BOTH },
    [DOES_ZERO] = { "zero", ARGS_BOTH },            [DOES_ZERO_GROW] = { "zerogrow", ARGS_BOTH },
    [DOES_COPY_UP] = { "copyup", ARGS_BOTH },
    [DOES_RESERVE] = { "reserve", ARGS_BOTH },      [DOES_FLUSH] = { "flush", ARGS_NONE },
    [DOES_CLOSE] = { "close", ARGS_NONE },          [DOES_REOPEN] = { "reopen", ARGS_NONE },
    [DOES_KILL] = { "kill", ARGS_NONE },            [DOES_FAIL_IMAGE] = { "failimage", ARGS_NONE },
    [DOES_FAIL_META] = { "failmeta", ARGS_NONE },   [DOES_CREATE] = { "create", ARGS_NONE },
    [DOES_CUT] = { "cut", ARGS_OFF },
};

/* Takes a word, or a sign, off the text if it is there. */
static bool take(const char **text, const char *word)
{
    size_t len = strlen(word);

    while (**text == ' ')
        ++*text;
    if (strncmp(*text, word, len) != 0)
        return false;
    *text += len;
    return true;
}

static uint64_t number(const char **text)
{
    char *end;
    uint64_t value;

    while (**text == ' ')
        ++*text;
    value = strtoull(*text, &end, 10);
    if (end == *text)
        fatal("a number is missing in the script at \"%s\"", *text);
    *text = end;
    return value;
}

static void parse_op(struct op *op, const char **text)
{
    size_t len = 0;
    int word = 0;

    *op = (struct op){ 0 };
    if (take(text, "during "))
        op->during = (int)number(text);
    if (take(text, "b."))
        op->process = 1;
    while (**text == ' ')
        ++*text;
    while ((*text)[len] >= 'a' && (*text)[len] <= 'z')
        len++;
    while (word < DOES_COUNT
           && (strlen(words[word].name) != len || strncmp(words[word].name, *text, len) != 0))
        word++;
    if (word == DOES_COUNT)
        fatal("no such operation in the script: \"%s\"", *text);
    *text += len;
    op->does = (enum does)word;
    if (words[word].args == ARGS_OFF || words[word].args == ARGS_BOTH)
        op->off = number(text);
    if (words[word].args == ARGS_BOTH && !take(text, "+"))
        fatal("a length is missing in the script at \"%s\"", *text);
    if (words[word].args == ARGS_LEN || words[word].args == ARGS_BOTH)
        op->len = number(text);
}

void script_parse(struct script *script, const char *text)
{
    *script = (struct script){ 0 };
    script->size = number(&text);
    if (take(&text, "/"))
        script->backing = number(&text);
    for (;;) {
        if (take(&text, "chain"))
            script->chain = true;
        else if (take(&text, "through"))
            script->through = true;
        else if (take(&text, "alone"))
            script->alone = true;
        else if (take(&text, "fresh"))
            script->fresh = true;
        else
            break;
    }
    if (!take(&text, ":"))
        fatal("the script has no \":\" at \"%s\"", text);
    do {
        if (script->nops == SCRIPT_OPS)
            fatal("the script has more than %d operations", SCRIPT_OPS);
        parse_op(&script->ops[script->nops++], &text);
    } while (take(&text, ","));
    take(&text, "");
    if (*text)
        fatal("the script goes on with \"%s\"", text);
}

static void say(char out[SCRIPT_TEXT], const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;

    va_start(args, format);
    vsnprintf(out + len, SCRIPT_TEXT - len, format, args);
    va_end(args);
}

void script_print(const struct script *script, char out[SCRIPT_TEXT])
{
    out[0] = '\0';
    say(out, "%llu", (unsigned long long)script->size);
    if (script->backing)
        say(out, "/%llu", (unsigned long long)script->backing);
    say(out, "%s%s%s%s:", script->chain ? " chain" : "", script->through ? " through" : "",
        script->alone ? " alone" : "", script->fresh ? " fresh" : "");
    for (int i = 0; i < script->nops; i++) {
        const struct op *op = &script->ops[i];
        enum args args = words[op->does].args;

        say(out, "%s ", i ? "," : "");
        if (op->during)
            say(out, "during %d ", op->during);
        say(out, "%s%s", op->process ? "b." : "", words[op->does].name);
        if (args == ARGS_OFF || args == ARGS_BOTH)
            say(out, " %llu", (unsigned long long)op->off);
        if (args == ARGS_LEN || args == ARGS_BOTH)
            say(out, "%s%llu", args == ARGS_BOTH ? "+" : " ", (unsigned long long)op->len);
    }
}
