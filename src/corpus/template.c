/* template.c - the text of a document from its columns: "# Title: {title}\n# Content: {text}".
 *
 * {name} is the value of a column; {{ and }} are braces. Without any brace, the whole is the name
 * of one column. */
#include "corpus/source.h"
#include <string.h>

bool silr_template_single(const char *text)
{
    return !strpbrk(text, "{}");
}

int silr_template_next(const char **p, silr_part *part)
{
    const char *s = *p, *end;

    if (!*s)
        return 0;
    if ((s[0] == '{' && s[1] == '{') || s[0] == '}') {
        if (s[0] == '}' && s[1] != '}')
            return SILR_EINPUT;
        *part = (silr_part){s, 1, false};
        *p = s + 2;
        return 1;
    }
    if (s[0] == '{') {
        end = s + 1 + strcspn(s + 1, "{}");
        if (*end != '}' || end == s + 1)
            return SILR_EINPUT;
        *part = (silr_part){s + 1, (size_t)(end - s - 1), true};
        *p = end + 1;
        return 1;
    }
    *part = (silr_part){s, strcspn(s, "{}"), false};
    *p = s + part->len;
    return 1;
}

silr_status silr_template_check(const char *text, silr_error *err)
{
    const char *p = text;
    silr_part part;
    int how, columns = 0;

    if (silr_template_single(text))
        return text[0] ? SILR_OK : silr_fail(err, SILR_EINPUT, "corpus.text: names no column");
    while ((how = silr_template_next(&p, &part)) > 0)
        columns += part.column;
    if (how < 0)
        return silr_fail(err, SILR_EINPUT,
                         "corpus.text: \"%s\": a brace has no partner or no column in it (write {{ "
                         "or }} for a brace)",
                         text);
    if (columns == 0)
        return silr_fail(err, SILR_EINPUT, "corpus.text: \"%s\": names no column", text);
    return SILR_OK;
}

static silr_status add_column(const silr_row *row, const char *name, size_t len, bool single,
                              silr_buf *out, silr_error *err)
{
    size_t i = 0;

    while (i < row->n && (strlen(row->names[i]) != len || memcmp(row->names[i], name, len) != 0))
        i++;
    if (i == row->n)
        return silr_fail(err, SILR_EINPUT, "has no \"%.*s\"", (int)len, name);
    if (single && !row->values[i])
        return silr_fail(err, SILR_EINPUT, "\"%.*s\" is null", (int)len, name);
    if (row->kinds &&
        (row->kinds[i] == SILR_VALUE_NESTED || (single && row->kinds[i] != SILR_VALUE_STRING)))
        return silr_fail(err, SILR_EINPUT, "\"%.*s\" is not a string", (int)len, name);
    if (row->values[i])
        silr_buf_add(out, row->values[i], row->lens[i]);
    return SILR_OK;
}

silr_status silr_row_text(const silr_row *row, const char *text, silr_buf *out, silr_error *err)
{
    silr_status st = silr_template_check(text, err);
    silr_part part;

    silr_buf_reset(out);
    if (st != SILR_OK)
        return st;
    if (silr_template_single(text))
        st = add_column(row, text, strlen(text), true, out, err);
    else
        while (st == SILR_OK && silr_template_next(&text, &part) > 0) {
            if (part.column)
                st = add_column(row, part.s, part.len, false, out, err);
            else
                silr_buf_add(out, part.s, part.len);
        }
    if (st == SILR_OK)
        silr_buf_add(out, "", 0); /* an empty text is "" */
    return st == SILR_OK && out->failed ? silr_fail_memory(err) : st;
}
