/* classes.c - the classes that the server answers with, and how sure it seems to be.
 *
 * A name is cut into tokens of up to four bytes, so that "spot" and "sports" begin alike and
 * "sports" and "sporty" part only at the second token. A client that reads probabilities off the
 * first token alone will mix such classes up.
 *
 * How probable a class is comes from the hash of the text: exp(2.5 u) with u in [0, 1) for every
 * class but the one answered, which gets exp(m), m in [.05, 4.05), times the heaviest bundle of
 * others that it meets anywhere on its way. So the answer is what a greedy decoder says. */
#include "classes.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct class_tokens *classes;
static int count;

size_t token_length(const char *s, size_t len)
{
    size_t n = 0;

    if (opt.split_utf8)
        return len < TOKEN_BYTES ? len : TOKEN_BYTES;
    while (n < len) {
        size_t end = n + 1; /* of the next character */
        while (end < len && end - n < 4 && ((unsigned char)s[end] & 0xc0) == 0x80)
            end++;
        if (n > 0 && end > TOKEN_BYTES)
            break;
        n = end;
    }
    return n;
}

const struct class_tokens *class_tokens(int k)
{
    return &classes[k];
}

int classes_count(void)
{
    return count;
}

const char *class_name(int k)
{
    return classes[k].name;
}

int class_find(const char *s, size_t len)
{
    for (int k = 0; k < count; k++)
        if (classes[k].len == len && memcmp(classes[k].name, s, len) == 0)
            return k;
    return -1;
}

static void add_class(const char *name, size_t len)
{
    struct class_tokens *c = &classes[count];

    if (len == 0 || len > CLASS_BYTES || count == CLASSES_MOST || class_find(name, len) >= 0) {
        fprintf(stderr, "chat_server: --classes: \"%.*s\" cannot be one\n", (int)len, name);
        exit(2);
    }
    c->name = must(silr_strndup(name, len));
    c->len = len;
    for (size_t at = 0; at < len; c->n++) {
        c->at[c->n] = (uint16_t)at;
        at += token_length(name + at, len - at);
    }
    c->at[c->n] = (uint16_t)len;
    count++;
}

/* The first class that begins with the same d + 1 tokens; c itself when it has no more than d. */
static int group_of(int k, unsigned d)
{
    const struct class_tokens *c = &classes[k];

    for (int j = 0; d < c->n && j < k; j++)
        if (d < classes[j].n && classes[j].at[d + 1] == c->at[d + 1] &&
            memcmp(classes[j].name, c->name, c->at[d + 1]) == 0)
            return j;
    return k;
}

void classes_set(const char *list)
{
    classes = must(silr_calloc(CLASSES_MOST, sizeof *classes));
    for (const char *p = list;; p++) {
        size_t len = strcspn(p, ",");
        add_class(p, len);
        p += len;
        if (!*p)
            break;
    }
    for (int k = 0; k < count; k++)
        for (unsigned d = 0; d <= classes[k].n; d++)
            classes[k].group[d] = group_of(k, d);
}

bool class_shares(int j, int k, unsigned d)
{
    return d == 0 || (classes[j].n >= d && classes[k].n >= d &&
                      classes[j].group[d - 1] == classes[k].group[d - 1]);
}

/* The heaviest group of classes without k that share a token where k says another. */
static double heaviest_rival(int k, const double *w)
{
    double most = 0, sum[CLASSES_MOST];

    for (unsigned d = 0; d <= classes[k].n; d++) {
        memset(sum, 0, sizeof *sum * (size_t)count);
        for (int j = 0; j < count; j++) {
            int g = class_shares(j, k, d) ? classes[j].group[d] : -1;
            if (g < 0 || g == classes[k].group[d])
                continue;
            sum[g] += w[j];
            if (sum[g] > most)
                most = sum[g];
        }
    }
    return most;
}

void class_weights(uint64_t hash, int k, double *w)
{
    double total = 0, rival;

    for (int j = 0; j < count; j++)
        w[j] = exp(2.5 * faults_chance(hash, (uint64_t)j, 0x77656967));
    rival = heaviest_rival(k, w);
    w[k] =
        exp(.05 + 4 * faults_chance(hash, (uint64_t)count, 0x6d617267)) * (rival > 0 ? rival : 1);
    for (int j = 0; j < count; j++)
        total += w[j];
    for (int j = 0; j < count; j++)
        w[j] /= total;
}
