/* fuzz_jsonl.c - JSONL rows. Our scanner is also held against jansson, line by line: both take the
 * same lines for objects, but for what we repair (UTF-8, half surrogate pairs, NUL in a name), do
 * not look into (the size of a number), or refuse on purpose (deep nesting). Lines with raw NUL
 * bytes are left out: jansson steps over one behind a number. */
#include "rows_check.h"
#include <jansson.h>

static bool differs_on_purpose(const json_error_t *why)
{
    enum json_error_code code = json_error_code(why);
    return code == json_error_invalid_utf8 || code == json_error_numeric_overflow ||
           code == json_error_null_byte_in_key || strstr(why->text, "Unicode");
}

static void compare(const uint8_t *line, size_t len)
{
    silr_fields all = {0};
    silr_record r = {silr_strndup((const char *)line, len), len, 1, NULL, false};
    json_error_t why;
    json_t *theirs = json_loadb((const char *)line, len, JSON_ALLOW_NUL, &why);
    bool ours;

    must(r.s);
    ours = silr_json_parse(&r, &all) == SILR_OK;
    if (ours && !theirs)
        must(differs_on_purpose(&why));
    if (!ours && json_is_object(theirs))
        must(strstr(all.why, "nested more than"));
    json_decref(theirs);
    silr_fields_clear(&all);
    silr_free(r.s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_rows(data, size, SILR_FORMAT_JSONL);
    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t len = newline ? (size_t)(newline - data) - at : size - at;
        if (len <= 4096 && !memchr(data + at, '\0', len))
            compare(data + at, len);
        at += len + 1;
    }
    return 0;
}
