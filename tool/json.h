/* A small JSON writer with qemu-img's layout: four spaces a level, one member a line. */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    unsigned level;
    int behind_item;        /* the next item needs a comma */
};

/*
 * `key` is NULL for an item of an array and at the top. Keys are plain ASCII.
 * When the outermost value is closed, a newline ends the text.
 */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_string(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, int value);

/*
 * A quoted JSON string in plain ASCII for any bytes: what is no ASCII becomes
 * \uXXXX, and what is no UTF-8, or no character, becomes \uFFFD.
 */
void json_print_string(FILE *out, const char *bytes);

#endif
