/* Histories that are each about one thing. */
#ifndef SCRIPTS_H
#define SCRIPTS_H

extern const struct named_script {
    const char *name, *text;
} scripts[];
extern const int nscripts;

#endif
