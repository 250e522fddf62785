/* lines.c - formats where a line is a text: plain, and fastText's "__label__x the text".
 *
 * fastText takes a label anywhere in the line. The text must not keep it, or the truth would leak
 * into what is learned from, so a label in the middle is first moved to the front. */
#include "corpus/source.h"
#include <stdio.h>
#include <string.h>

enum { MARK = 9, LABEL_MAX = 250 };

static silr_status set(silr_fields *f, const char *name, char *value, size_t len)
{
    silr_status st = SILR_OK;
    silr_field *place = silr_fields_place(f, name, strlen(name), &st);
    if (place) {
        place->value = value;
        place->len = len;
        place->kind = value ? SILR_VALUE_STRING : SILR_VALUE_NULL;
        place->surrogate = false;
        if (value)
            value[len] = '\0';
    }
    return st;
}

silr_status silr_plain_parse(silr_record *r, silr_fields *f)
{
    return set(f, "text", r->s, r->len);
}

static char *find_label(char *p, char *end)
{
    while (p < end) {
        char *stop;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        for (stop = p; stop < end && *stop != ' ' && *stop != '\t';)
            stop++;
        if (stop - p >= MARK && memcmp(p, "__label__", MARK) == 0)
            return p;
        p = stop;
    }
    return NULL;
}

silr_status silr_fasttext_parse(silr_record *r, silr_fields *f)
{
    char copy[LABEL_MAX], *end = r->s + r->len, *at = find_label(r->s, end), *stop, *label, *text;
    size_t len, gap;
    silr_status st;

    if (!at) {
        st = set(f, "text", r->s, r->len);
        return st == SILR_OK ? set(f, "label", NULL, 0) : st;
    }
    for (stop = at; stop < end && *stop != ' ' && *stop != '\t';)
        stop++;
    label = at + MARK;
    len = (size_t)(stop - label);
    if (find_label(stop, end) || len > LABEL_MAX) {
        snprintf(f->why, sizeof f->why, "%s",
                 len > LABEL_MAX ? "the __label__ is longer than 250 bytes"
                                 : "more than one __label__; silr gives a text one class");
        return SILR_EINPUT;
    }
    while (stop < end && (*stop == ' ' || *stop == '\t'))
        stop++;
    text = stop;
    gap = (size_t)(at - r->s);
    if (gap > 0) { /* "left __label__x right" becomes "x\0left right": the mark's room suffices */
        memcpy(copy, label, len);
        text = r->s + len + 1;
        memmove(text, r->s, gap);
        memmove(text + gap, stop, (size_t)(end - stop));
        end = text + gap + (end - stop);
        label = memcpy(r->s, copy, len);
    }
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    st = set(f, "text", text, (size_t)(end - text));
    return st == SILR_OK ? set(f, "label", label, len) : st;
}
