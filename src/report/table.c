/* table.c - `silr show`: metrics.json as a table for the terminal.
 *
 * Reads the file, not the store, so that a copied folder without run.db can be shown too. The
 * file may have been edited: every value is looked at before use, and what is missing is a dash. */
#include "report/inside.h"

#include <math.h>
#include <string.h>

static double num(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static double at(const json_t *object, const char *a, const char *b)
{
    return num(json_object_get(json_object_get(object, a), b));
}

/* One cell, right-aligned in `width` columns. */
static void cell(silr_buf *out, int width, const char *s)
{
    silr_buf_printf(out, "%*s", width, s);
}

static void fixed(silr_buf *out, int width, double v)
{
    char s[48];
    if (isnan(v))
        snprintf(s, sizeof s, "-");
    else
        snprintf(s, sizeof s, "%.3f", v);
    cell(out, width, s);
}

static void interval(silr_buf *out, int width, const json_t *estimate)
{
    double v = num(json_object_get(estimate, "value"));
    double low = num(json_object_get(estimate, "low")),
           high = num(json_object_get(estimate, "high"));
    char s[96];
    if (isnan(v))
        snprintf(s, sizeof s, "-");
    else
        snprintf(s, sizeof s, "%.3f [%.3f, %.3f]", v, low, high);
    cell(out, width, s);
}

/* Two classes: theta_p and theta_n; more: the smallest and largest P(true j | pseudo j). */
static void theta(silr_buf *out, int width, const json_t *t, size_t K)
{
    double low = 2, high = -1;
    char s[64];

    if (K == 2) {
        low = num(json_array_get(t, 0));
        high = num(json_array_get(t, 1));
    } else {
        for (size_t k = 0; k < K; k++) {
            double v = num(json_array_get(json_array_get(t, k), k));
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
    }
    if (isnan(low) || isnan(high) || high < 0)
        snprintf(s, sizeof s, "-");
    else
        snprintf(s, sizeof s, K == 2 ? "%.3f / %.3f" : "%.3f..%.3f", low, high);
    cell(out, width, s);
}

/* Without control characters: a copied file must not drive the reader's terminal. */
static void title(silr_buf *out, const char *s)
{
    for (; *s; s++)
        silr_buf_putc(out, (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s);
    silr_buf_puts(out, "\n\n");
}

static void row(silr_buf *out, const json_t *it, size_t K, bool truth, bool colour)
{
    const json_t *flips = json_object_get(it, "flips");
    const json_t *accepted = json_object_get(it, "accepted");
    double number = num(json_object_get(it, "iteration"));
    bool rejected = json_is_false(accepted);
    char s[32];

    if (colour && rejected)
        silr_buf_puts(out, "\033[2m");
    snprintf(s, sizeof s, "%.0f", number);
    cell(out, 9, isnan(number) ? "-" : s);
    interval(out, 24, json_object_get(it, "estimated_accuracy"));
    if (truth) {
        fixed(out, 9, at(it, "label", "accuracy"));
        fixed(out, 9, at(it, "test", "accuracy"));
    }
    theta(out, 16, json_object_get(it, "theta"), K);
    if (K == 2)
        fixed(out, 8, num(json_object_get(it, "pi")));
    snprintf(s, sizeof s, "%lld",
             json_is_integer(flips) ? (long long)json_integer_value(flips) : 0LL);
    cell(out, 10, json_is_integer(flips) ? s : "-");
    cell(out, 10, rejected ? "no" : json_is_true(accepted) ? "yes" : "-");
    if (colour && rejected)
        silr_buf_puts(out, "\033[0m");
    silr_buf_putc(out, '\n');
}

/* Between iteration 0 and 1: what the recalibrated log-odds gave. */
static void recalibrated_row(silr_buf *out, const json_t *it, bool truth)
{
    const json_t *r = json_object_get(it, "recalibrated");

    if (!json_is_object(r))
        return;
    cell(out, 9, "log-odds");
    interval(out, 24, json_object_get(r, "estimated_accuracy"));
    if (truth) {
        fixed(out, 9, at(r, "label", "accuracy"));
        fixed(out, 9, at(r, "test", "accuracy"));
    }
    silr_buf_putc(out, '\n');
}

static void heading(silr_buf *out, size_t K, bool truth, bool colour)
{
    if (colour)
        silr_buf_puts(out, "\033[1m");
    cell(out, 9, "iteration");
    cell(out, 24, "estimated accuracy");
    if (truth) {
        cell(out, 9, "labels");
        cell(out, 9, "test");
    }
    cell(out, 16, K == 2 ? "theta_p / _n" : "theta");
    if (K == 2)
        cell(out, 8, "pi");
    cell(out, 10, "flips");
    cell(out, 10, "accepted");
    if (colour)
        silr_buf_puts(out, "\033[0m");
    silr_buf_putc(out, '\n');
}

static void outcome(silr_buf *out, const json_t *root, bool colour)
{
    const json_t *last = json_object_get(root, "final");
    double n = num(json_object_get(last, "documents"));
    double corrected = num(json_object_get(last, "corrected"));
    double gained = num(json_object_get(last, "gained"));
    double label = at(last, "label", "accuracy"), test = at(last, "test", "accuracy");

    if (json_is_true(json_object_get(root, "oracle")))
        silr_buf_printf(out, "%soracle priors: true labels of all texts were used%s\n",
                        colour ? "\033[31m" : "", colour ? "\033[0m" : "");
    if (isnan(n) || isnan(corrected) || isnan(gained))
        return;
    silr_buf_printf(out, "%.0f texts: %.0f labels corrected, %.0f texts that had none got one\n", n,
                    corrected, gained);
    silr_buf_puts(out, "estimated accuracy of the labels: ");
    interval(out, 0, json_object_get(last, "estimated_before"));
    silr_buf_puts(out, " -> ");
    interval(out, 0, json_object_get(last, "estimated_accuracy"));
    silr_buf_putc(out, '\n');
    if (!isnan(label)) {
        silr_buf_puts(out, "measured against the truth: labels ");
        fixed(out, 0, label);
        silr_buf_puts(out, ", test texts ");
        fixed(out, 0, test);
        silr_buf_putc(out, '\n');
    }
}

silr_status silr_report_table(const char *dir, bool colour, silr_buf *out, silr_error *err)
{
    silr_buf text = {0};
    json_t *root = NULL;
    json_error_t why;
    const json_t *rows, *name, *it;
    size_t i, K;
    bool truth = false;
    silr_status st = SILR_OK;
    char *path = silr_path_join(dir, "metrics.json");

    if (!path)
        return silr_fail_memory(err);
    if ((st = silr_file_read(&text, path, (size_t)1 << 28, err)) != SILR_OK)
        goto done;
    root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &why);
    rows = json_object_get(root, "iterations");
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        st = silr_fail_memory(err);
    else if (!root)
        st = silr_fail(err, SILR_EINPUT, "%s:%d: not JSON: %s", path, why.line, why.text);
    else if (!json_is_array(rows))
        st = silr_fail(err, SILR_EINPUT, "%s: has no \"iterations\"; write it anew with `silr run`",
                       path);
    if (st != SILR_OK)
        goto done;
    K = json_array_size(json_object_get(root, "classes"));
    name = json_object_get(root, "task");
    if (json_is_string(name) && json_string_length(name))
        title(out, json_string_value(name));
    json_array_foreach(rows, i, it) truth |=
        json_is_object(json_object_get(it, "label")) || json_is_object(json_object_get(it, "test"));
    heading(out, K, truth, colour);
    json_array_foreach(rows, i, it)
    {
        row(out, it, K, truth, colour);
        recalibrated_row(out, it, truth);
    }
    silr_buf_putc(out, '\n');
    outcome(out, root, colour);
    if (out->failed)
        st = silr_fail_memory(err);
done:
    json_decref(root);
    silr_buf_clear(&text);
    silr_free(path);
    return st;
}
