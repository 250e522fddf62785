/* answer.c - which class an answer names.
 *
 * Models are asked for a name and nothing else, and most comply. The rest is met in this order:
 *
 *   the name as it is; in other case; as a member of JSON; with other punctuation ("**Positive**.");
 *   a first or last line that is the name, also behind a colon ("Answer: positive");
 *   a first or last line that mentions one class and does not deny it.
 *
 * Two lines that name different classes, or a line that names two, are ambiguous. An answer without a
 * class abstains: a guess would be a wrong label that nobody sees. */
#include "chat/words.h"
#include <jansson.h>
#include <string.h>

/* No class, and why: two of them, or a value that is none. */
enum { AMBIGUOUS = -2, NAMELESS = -3 };

/* --- names --------------------------------------------------------------------------------------- */

/* Names of the answers in the forms in which they are compared. A folded one is "" where nothing is
 * left of the name; `twin` where another folds to the same, as "c" and "c++": it tells neither. */
typedef struct {
    size_t K;
    const char *plain[64];
    char lower[64][WORDS_MAX], folded[64][WORDS_MAX];
    bool twin[64];
} names;

static bool names_make(names *n, const silr_task *task)
{
    *n = (names){.K = task->n_classes};
    if (n->K > 64)
        return false;
    for (size_t k = 0; k < n->K; k++) {
        n->plain[k] = silr_answer_name(task, (int)k);
        if (silr_words_lower(n->lower[k], WORDS_MAX, n->plain[k], strlen(n->plain[k])) == SIZE_MAX)
            n->lower[k][0] = '\0';
        if (silr_words_fold(n->folded[k], WORDS_MAX, n->plain[k], strlen(n->plain[k])) == SIZE_MAX)
            n->folded[k][0] = '\0';
    }
    for (size_t k = 0; k < n->K; k++)
        for (size_t j = 0; j < n->K; j++)
            n->twin[k] = n->twin[k] || (j != k && strcmp(n->folded[j], n->folded[k]) == 0);
    return true;
}

static int same_as(const names *n, const char *s, size_t len)
{
    char text[WORDS_MAX];
    int found = SILR_NO_LABEL;

    for (size_t k = 0; k < n->K; k++)
        if (strlen(n->plain[k]) == len && memcmp(n->plain[k], s, len) == 0)
            return (int)k;
    if (len >= WORDS_MAX)
        return SILR_NO_LABEL;
    if (silr_words_lower(text, sizeof text, s, len) != SIZE_MAX)
        for (size_t k = 0; k < n->K; k++)
            if (n->lower[k][0] && strcmp(n->lower[k], text) == 0) {
                if (found != SILR_NO_LABEL)
                    return SILR_NO_LABEL; /* "A" and "a" are both classes */
                found = (int)k;
            }
    return found;
}

static int folds_to(const names *n, const char *s, size_t len)
{
    char text[WORDS_MAX];

    if (silr_words_fold(text, sizeof text, s, len) == SIZE_MAX || !text[0])
        return SILR_NO_LABEL;
    for (size_t k = 0; k < n->K; k++)
        if (!n->twin[k] && strcmp(n->folded[k], text) == 0)
            return (int)k;
    return SILR_NO_LABEL;
}

static void trim(const char **s, size_t *len)
{
    while (*len > 0 && (unsigned char)**s <= ' ') {
        ++*s;
        --*len;
    }
    while (*len > 0 && (unsigned char)(*s)[*len - 1] <= ' ')
        --*len;
}

/* The signs that people and models put around a name. */
static size_t wrapping(const char *s, size_t len)
{
    static const char *const signs[] = {"\"", "'", "`", "*", "_", "(", ")", "[", "]", "<", ">", ".", ",", ";",
                                        ":", "!", " ", "\t", "\xe2\x80\x9c", "\xe2\x80\x9d",
                                        "\xc2\xab", "\xc2\xbb"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (len >= strlen(signs[i]) && memcmp(s, signs[i], strlen(signs[i])) == 0)
            return strlen(signs[i]);
    return 0;
}

static size_t wrapping_behind(const char *s, size_t len)
{
    for (size_t n = 1; n <= 3 && n <= len; n++)
        if (wrapping(s + len - n, n) == n)
            return n;
    return 0;
}

static int whole(const names *n, const char *s, size_t len)
{
    int k;
    size_t w;

    trim(&s, &len);
    if ((k = same_as(n, s, len)) != SILR_NO_LABEL || (k = folds_to(n, s, len)) != SILR_NO_LABEL)
        return k;
    for (; len > 0 && (w = wrapping(s, len)); s += w, len -= w)
        ;
    for (; len > 0 && (w = wrapping_behind(s, len)); len -= w)
        ;
    return same_as(n, s, len);
}

/* --- lines --------------------------------------------------------------------------------------- */

enum { LINE_MAX_BYTES = 400 };

/* Does `word` stand at p, with the ends of words at both ends? Everything is folded by now. */
static bool stands_at(const char *text, const char *p, const char *word)
{
    size_t len = strlen(word);
    return (p == text || p[-1] == ' ') && strncmp(p, word, len) == 0 &&
           (p[len] == '\0' || p[len] == ' ');
}

/* "not", "isn t", "no", "neither" among the three words before p. */
static bool denied(const char *text, const char *p)
{
    static const char *const denials[] = {"not", "no", "t", "neither", "nor", "never", "non",
                                          "cannot", "without", "than", "rather", "un"};
    for (int words = 0; p > text && words < 3; words++) {
        const char *end = p - 1, *begin;
        for (begin = end; begin > text && begin[-1] != ' ';)
            begin--;
        for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
            if (strlen(denials[i]) == (size_t)(end - begin) &&
                strncmp(begin, denials[i], (size_t)(end - begin)) == 0)
                return true;
        p = begin;
    }
    return false;
}

/* The one class that the line mentions; a longer name hides a shorter one inside it. */
static int mentioned(const names *n, const char *s, size_t len)
{
    char text[LINE_MAX_BYTES + 8];
    int found = SILR_NO_LABEL;
    const char *p = text;

    if (len > LINE_MAX_BYTES || silr_words_fold(text, sizeof text, s, len) == SIZE_MAX)
        return SILR_NO_LABEL;
    while (*p) {
        int best = SILR_NO_LABEL;
        for (size_t k = 0; k < n->K; k++)
            if (n->folded[k][0] && stands_at(text, p, n->folded[k]) &&
                (best < 0 || strlen(n->folded[k]) > strlen(n->folded[best])))
                best = (int)k;
        if (best >= 0) {
            if (n->twin[best] || denied(text, p) || (found >= 0 && found != best))
                return AMBIGUOUS;
            found = best;
            p += strlen(n->folded[best]);
        }
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
    return found;
}

static int of_line(const names *n, const char *s, size_t len)
{
    const char *colon = memrchr(s, ':', len);
    int k = whole(n, s, len);

    if (k == SILR_NO_LABEL && colon &&
        (k = whole(n, colon + 1, len - (size_t)(colon + 1 - s))) != SILR_NO_LABEL) {
        int before = mentioned(n, s, (size_t)(colon - s));
        return before >= 0 && before != k ? AMBIGUOUS : k;
    }
    return k == SILR_NO_LABEL ? mentioned(n, s, len) : k;
}

/* Takes the lines off that only fence the answer in: ```json ... ``` */
static void unfence(const char **s, size_t *len)
{
    const char *nl;

    trim(s, len);
    if (*len > 3 && memcmp(*s, "```", 3) == 0 && (nl = memchr(*s, '\n', *len))) {
        *len -= (size_t)(nl + 1 - *s);
        *s = nl + 1;
    }
    if (*len > 3 && memcmp(*s + *len - 3, "```", 3) == 0)
        *len -= 3;
    trim(s, len);
}

/* The first and the last line with something in it. */
static int of_lines(const names *n, const char *s, size_t len)
{
    const char *nl;
    size_t first;
    int a, z;

    unfence(&s, &len);
    nl = memchr(s, '\n', len);
    first = nl ? (size_t)(nl - s) : len;
    a = of_line(n, s, first);
    if (!nl)
        return a;
    nl = memrchr(s, '\n', len);
    z = of_line(n, nl + 1, len - (size_t)(nl + 1 - s));
    if (a == SILR_NO_LABEL || a == z)
        return z;
    if (z == SILR_NO_LABEL)
        return a;
    return AMBIGUOUS;
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static int of_object(const names *n, json_t *root);

/* What a value names. NAMELESS: something that is no class. */
static int of_value(const names *n, json_t *v)
{
    const char *s = json_string_value(v);
    char number[32];
    int k;

    if (json_is_boolean(v))
        s = json_is_true(v) ? "true" : "false";
    if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        s = number;
    }
    if (json_is_array(v) && json_array_size(v) == 1)
        return of_value(n, json_array_get(v, 0));
    if (json_is_object(v))
        return of_object(n, v);
    if (!s)
        return NAMELESS;
    if ((k = whole(n, s, strlen(s))) == SILR_NO_LABEL)
        k = of_lines(n, s, strlen(s));
    return k == SILR_NO_LABEL ? NAMELESS : k;
}

/* What stands under a key for the answer; without one, the only class that is a value. */
static int of_object(const names *n, json_t *root)
{
    static const char *const keys[] = {"label", "answer", "class", "category", "classification",
                                       "result", "prediction", "output"};
    const char *key;
    json_t *v;
    int found = SILR_NO_LABEL;

    for (size_t i = 0; i < sizeof keys / sizeof *keys && found == SILR_NO_LABEL; i++)
        if ((v = json_object_get(root, keys[i])))
            found = of_value(n, v);
    if (found == SILR_NO_LABEL)
        json_object_foreach(root, key, v) {
            const char *s = json_is_boolean(v) ? json_is_true(v) ? "true" : "false" : json_string_value(v);
            int k = s ? whole(n, s, strlen(s)) : SILR_NO_LABEL;
            if (k >= 0)
                found = found == SILR_NO_LABEL || found == k ? k : AMBIGUOUS;
        }
    return found;
}

/* The outermost {...} of the answer, a string in quotes, also inside a fence. */
static int in_json(const names *n, const char *s, size_t len)
{
    const char *open = memchr(s, '{', len), *close = memrchr(s, '}', len);
    json_t *root;
    int k;

    trim(&s, &len);
    if (open && close && close > open) {
        s = open;
        len = (size_t)(close - open) + 1;
    } else if (len < 2 || s[0] != '"') {
        return SILR_NO_LABEL;
    }
    root = json_loadb(s, len, JSON_DECODE_ANY, NULL);
    k = !root ? SILR_NO_LABEL : json_is_object(root) ? of_object(n, root) : of_value(n, root);
    json_decref(root);
    return k;
}

/* --- the answer ---------------------------------------------------------------------------------- */

/* "very", cut off by the limit of tokens, may have been on its way to "very good". */
static bool may_go_on(const names *n, const char *s, size_t len, int k)
{
    size_t name = strlen(n->lower[k]);
    char end[WORDS_MAX];

    trim(&s, &len);
    if (name == 0 || len < name ||
        silr_words_lower(end, sizeof end, s + len - name, name) == SIZE_MAX ||
        strcmp(end, n->lower[k]) != 0)
        return false;
    for (size_t j = 0; j < n->K; j++)
        if ((int)j != k && strncmp(n->lower[j], n->lower[k], name) == 0)
            return true;
    return false;
}

/* AMBIGUOUS, NAMELESS and SILR_NO_LABEL: none. */
static int find_label(const names *n, const char *s, size_t len)
{
    int k = whole(n, s, len);

    if (k == SILR_NO_LABEL)
        k = in_json(n, s, len);
    return k == SILR_NO_LABEL ? of_lines(n, s, len) : k;
}

/* Most answers are a name to the letter: found without preparing all names for comparison. */
static int to_the_letter(const silr_task *task, const char *s, size_t len)
{
    for (size_t k = 0; k < task->n_classes; k++) {
        const char *name = silr_answer_name(task, (int)k);
        if (strlen(name) == len && memcmp(name, s, len) == 0)
            return (int)k;
    }
    return SILR_NO_LABEL;
}

int silr_answer_label(const silr_task *task, const silr_choice *c, const char **reason)
{
    names n;
    size_t len;
    const char *s = silr_words_thought_of(c->content, c->len, &len);
    int k = SILR_NO_LABEL;

    *reason = NULL;
    if (c->refused) {
        *reason = "the model refused to answer";
    } else if (strcmp(c->finish, "content_filter") == 0) {
        *reason = "stopped by the server's content filter";
    } else if (!s || (len == 0 && strcmp(c->finish, "length") == 0)) {
        *reason = "the model was still thinking when its tokens ran out; raise "
                  "annotator.reasoning_tokens";
    } else if (strcmp(c->finish, "length") != 0 && (k = to_the_letter(task, s, len)) >= 0) {
        ;
    } else if (!names_make(&n, task)) {
        *reason = "too many classes";
    } else {
        bool cut = strcmp(c->finish, "length") == 0;
        k = find_label(&n, s, len);
        if (k == AMBIGUOUS)
            *reason = "the answer names more than one class, or denies one";
        else if (cut && (k < 0 || may_go_on(&n, s, len, k)))
            *reason = "the answer was cut off before it named a class; raise annotator.max_tokens";
        else if (k < 0)
            *reason = len > 0 ? "the answer names no class" : "the answer is empty";
    }
    return *reason ? SILR_NO_LABEL : k;
}
