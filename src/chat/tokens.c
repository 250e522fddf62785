/* tokens.c - how sure the model was: from log-probabilities of tokens to those of classes.
 *
 * The answer is a name that the model wrote token by token. Where it begins, every alternative token
 * is the beginning of one class's name, of several, or of none. The mass of those that can only be
 * class k goes to k, in whatever variant (" positive", "Pos", "positive"). Where the token that was
 * chosen could still become several classes ("very" of "very good" and "very bad"), the walk goes on
 * to the next token within that mass; other tokens that could still become several are left out, as
 * nobody knows what would have followed them. In the end
 *
 *     log p_k = log mass_k - log sum_j mass_j
 *
 * A class that is not among the alternatives has at most the least of their probabilities and gets
 * that: its log-odds are bounded, not unknown. */
#include "chat/words.h"
#include <math.h>
#include <string.h>

enum { WALK = 24 }; /* tokens of a name */

typedef struct {
    size_t K;
    char name[64][WORDS_MAX]; /* lower case */
    double mass[64];
    double least; /* of the alternatives where the walk began */
} walk;

/* Where in content the name of the class begins; SIZE_MAX: nowhere. */
static size_t begins_at(const walk *w, const silr_choice *c, int label)
{
    size_t len, skip, name = strlen(w->name[label]);
    const char *s = silr_words_thought_of(c->content, c->len, &len);
    char part[WORDS_MAX * 2];

    if (!s || name == 0)
        return SIZE_MAX;
    skip = (size_t)(s - c->content);
    for (size_t i = 0; i < len; i++) {
        size_t take = len - i < name + 8 ? len - i : name + 8; /* cases differ in length at times */
        if (((unsigned char)s[i] & 0xc0) == 0x80)
            continue;
        if (silr_words_lower(part, sizeof part, s + i, take) != SIZE_MAX &&
            strncmp(part, w->name[label], name) == 0)
            return skip + i;
    }
    return SIZE_MAX;
}

/* Space, quotes and marks before a name; also what tokenizers write for a space. */
static void strip(const char **s, size_t *len)
{
    while (*len > 0) {
        if (strchr(" \t\r\n\"'`*_", **s)) {
            ++*s;
            --*len;
        } else if (*len >= 2 && memcmp(*s, "\xc4\xa0", 2) == 0) { /* G with a dot */
            *s += 2;
            *len -= 2;
        } else if (*len >= 3 && memcmp(*s, "\xe2\x96\x81", 3) == 0) { /* lower block */
            *s += 3;
            *len -= 3;
        } else {
            return;
        }
    }
}

/* Which classes a text could be the beginning of, or has wholly: how many, and one of them. */
static size_t fitting(const walk *w, const char *text, int *one)
{
    size_t n = 0, len = strlen(text);

    for (size_t k = 0; k < w->K; k++) {
        size_t name = strlen(w->name[k]);
        bool fits = len <= name ? strncmp(w->name[k], text, len) == 0
                                : strncmp(w->name[k], text, name) == 0 &&
                                      !((text[name] >= 'a' && text[name] <= 'z') ||
                                        (text[name] >= '0' && text[name] <= '9') ||
                                        (unsigned char)text[name] >= 0x80);
        if (name == 0 || !fits)
            continue;
        n++;
        *one = (int)k;
    }
    return n;
}

/* prefix + token, in lower case; at the beginning of the name what stands before it is dropped. */
static bool joined(char out[WORDS_MAX * 2], const char *prefix, const silr_token *t)
{
    const char *s = t->token;
    size_t len = t->len, n = strlen(prefix);

    if (n == 0)
        strip(&s, &len);
    if (len == 0 || n >= WORDS_MAX)
        return false;
    memcpy(out, prefix, n + 1);
    return silr_words_lower(out + n, WORDS_MAX, s, len) != SIZE_MAX;
}

/* One place: the mass of its tokens, given what was written before. true: go on to the next. */
static bool step(walk *w, const silr_token_place *p, char prefix[WORDS_MAX * 2], double *before,
                 bool first)
{
    char text[WORDS_MAX * 2], chosen[WORDS_MAX * 2];
    bool counted = false, further = false;
    int k = 0;

    if (!joined(chosen, prefix, &p->token))
        return false;
    for (size_t i = 0; i <= p->n_top; i++) {
        const silr_token *t = i < p->n_top ? &p->top[i] : &p->token;
        bool same = t->len == p->token.len && memcmp(t->token, p->token.token, t->len) == 0;
        size_t n;
        if (i == p->n_top && counted)
            break; /* the chosen one stood among the alternatives */
        counted = counted || same;
        if (first && t->logprob < w->least)
            w->least = t->logprob;
        n = joined(text, prefix, t) ? fitting(w, text, &k) : 0;
        if (n == 1)
            w->mass[k] += exp(*before + t->logprob);
        else if (n > 1 && same)
            further = true;
    }
    if (further) {
        *before += p->token.logprob;
        memcpy(prefix, chosen, strlen(chosen) + 1);
    }
    return further;
}

/* Exactly one token's probability is known: what is left belongs to the others. */
static void fill(walk *w, int label, bool alternatives)
{
    double sum = 0, left;

    for (size_t k = 0; k < w->K; k++)
        sum += w->mass[k];
    left = alternatives ? exp(w->least) : fmax(1 - sum, 1e-6) / (double)(w->K - 1);
    for (size_t k = 0; k < w->K; k++)
        if (!(w->mass[k] > 0) && (int)k != label)
            w->mass[k] = fmax(left, 1e-9);
}

bool silr_answer_logp(const silr_task *task, const silr_choice *c, int label, float *logp)
{
    walk w = {.K = task->n_classes};
    char prefix[WORDS_MAX * 2] = "";
    size_t at, end = 0, first = 0;
    double before = 0, sum = 0;
    bool alternatives;

    if (label < 0 || c->n_places == 0 || w.K > 64)
        return false;
    for (size_t k = 0; k < w.K; k++) {
        const char *name = silr_answer_name(task, (int)k);
        if (silr_words_lower(w.name[k], WORDS_MAX, name, strlen(name)) == SIZE_MAX)
            w.name[k][0] = '\0';
    }
    if ((at = begins_at(&w, c, label)) == SIZE_MAX)
        return false;
    /* The token in which the name begins. Leading space of the first may be missing in content. */
    for (first = 0; first < c->n_places; first++) {
        end += c->place[first].token.len;
        if (first == 0 && c->len > 0 && end > 0) {
            const char *s = c->place[0].token.token;
            if (*s == ' ' && c->content[0] != ' ')
                end--;
        }
        if (end > at)
            break;
    }
    if (first == c->n_places)
        return false;
    alternatives = c->place[first].n_top > 0;
    for (size_t i = first; i < c->n_places && i < first + WALK; i++)
        if (!step(&w, &c->place[i], prefix, &before, i == first))
            break;
    if (!(w.mass[label] > 0))
        return false;
    fill(&w, label, alternatives);
    for (size_t k = 0; k < w.K; k++)
        sum += w.mass[k];
    for (size_t k = 0; k < w.K; k++)
        logp[k] = (float)(log(w.mass[k]) - log(sum));
    return isfinite(sum) && sum > 0;
}
