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
#include <utf8proc.h>

/* --- words --------------------------------------------------------------------------------------- */

size_t silr_words_lower(char *out, size_t room, const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                 (utf8proc_ssize_t)(len - i), &c), made;
        if (step < 1) {
            step = 1;
            c = '?';
        }
        i += (size_t)step;
        made = utf8proc_encode_char(utf8proc_tolower(c), bytes);
        if (made < 1 || n + (size_t)made >= room)
            return SIZE_MAX;
        memcpy(out + n, bytes, (size_t)made);
        n += (size_t)made;
    }
    out[n] = '\0';
    return n;
}

static bool is_word(utf8proc_int32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
        return true;
    default:
        return false;
    }
}

size_t silr_words_fold(char *out, size_t room, const char *s, size_t len)
{
    size_t n = 0;
    bool gap = false;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                 (utf8proc_ssize_t)(len - i), &c), made;
        i += step < 1 ? 1 : (size_t)step;
        if (step < 1 || !is_word(c)) {
            gap = n > 0;
            continue;
        }
        made = utf8proc_encode_char(utf8proc_tolower(c), bytes);
        if (made < 1 || n + (size_t)made + 1 >= room)
            return SIZE_MAX;
        if (gap)
            out[n++] = ' ';
        gap = false;
        memcpy(out + n, bytes, (size_t)made);
        n += (size_t)made;
    }
    out[n] = '\0';
    return n;
}

const char *silr_words_thought_of(const char *content, size_t len, size_t *left)
{
    static const char *const ends[] = {"</think>", "</thinking>", "</reasoning>"};
    static const char *const begins[] = {"<think>", "<thinking>", "<reasoning>"};
    const char *from = content;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *p = content, *at;
        while ((at = memmem(p, (size_t)(content + len - p), ends[i], strlen(ends[i]))))
            p = at + strlen(ends[i]);
        if (p > from)
            from = p;
    }
    *left = (size_t)(content + len - from);
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (memmem(from, *left, begins[i], strlen(begins[i])))
            return NULL;
    return from;
}

/* --- names --------------------------------------------------------------------------------------- */

/* Names of the answers in the forms in which they are compared; folded ones are left out ("") where
 * two fold to the same, or one to nothing. */
typedef struct {
    size_t K;
    const char *plain[64];
    char lower[64][WORDS_MAX], folded[64][WORDS_MAX];
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
            if (j != k && strcmp(n->folded[j], n->folded[k]) == 0)
                n->folded[k][0] = '\0'; /* a copy with the same would differ in signs alone */
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
        if (n->folded[k][0] && strcmp(n->folded[k], text) == 0)
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

static int whole(const names *n, const char *s, size_t len)
{
    int k;

    trim(&s, &len);
    if ((k = same_as(n, s, len)) != SILR_NO_LABEL)
        return k;
    return folds_to(n, s, len);
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static int of_value(const names *n, const json_t *v)
{
    const char *s = json_string_value(v);

    if (json_is_boolean(v))
        s = json_is_true(v) ? "true" : "false";
    if (json_is_array(v) && json_array_size(v) == 1)
        return of_value(n, json_array_get(v, 0));
    return s ? whole(n, s, strlen(s)) : SILR_NO_LABEL;
}

static int of_object(const names *n, json_t *root)
{
    static const char *const keys[] = {"label", "answer", "class", "category", "classification",
                                       "result", "prediction", "output"};
    const char *key;
    json_t *v, *only = NULL;
    size_t texts = 0;

    if (!json_is_object(root))
        return of_value(n, root);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if ((v = json_object_get(root, keys[i])))
            return of_value(n, v);
    json_object_foreach(root, key, v) {
        if (json_is_string(v) || json_is_boolean(v)) {
            only = v;
            texts++;
        }
    }
    return texts == 1 ? of_value(n, only) : SILR_NO_LABEL;
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
    k = root ? of_object(n, root) : SILR_NO_LABEL;
    json_decref(root);
    return k;
}

/* --- lines --------------------------------------------------------------------------------------- */

enum { AMBIGUOUS = -2, LINE_MAX_BYTES = 400 };

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
            if (denied(text, p) || (found >= 0 && found != best))
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

    if (k == SILR_NO_LABEL && colon)
        k = whole(n, colon + 1, len - (size_t)(colon + 1 - s));
    return k == SILR_NO_LABEL ? mentioned(n, s, len) : k;
}

/* The first and the last line with something in it. */
static int of_lines(const names *n, const char *s, size_t len)
{
    const char *nl;
    size_t first;
    int a, z;

    trim(&s, &len);
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
    } else if (!names_make(&n, task)) {
        *reason = "too many classes";
    } else {
        if ((k = whole(&n, s, len)) == SILR_NO_LABEL &&
            (k = in_json(&n, s, len)) == SILR_NO_LABEL)
            k = of_lines(&n, s, len);
        if (k == AMBIGUOUS)
            *reason = "the answer names more than one class, or denies one";
        else if (k == SILR_NO_LABEL && strcmp(c->finish, "length") == 0)
            *reason = "the answer was cut off before it named a class; raise annotator.max_tokens";
        else if (k == SILR_NO_LABEL)
            *reason = len > 0 ? "the answer names no class" : "the answer is empty";
    }
    return k >= 0 ? k : SILR_NO_LABEL;
}
