/* export.c - silr export: a run for other programs, read back before it counts. */
#include "export/export.h"
#include "cli/cli.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* The export's form by its name; CLI_DONE, or CLI_USAGE having said why. */
static int form_of(silr_export_form *out, const char *to)
{
    const char *names[SILR_EXPORT_FORMS], *near;

    if (!to)
        return cli_usage("export", "--to is missing: peft, merged, labelstudio, cleanlab, csv or jsonl");
    for (int f = 0; f < SILR_EXPORT_FORMS; f++) {
        names[f] = silr_export_name((silr_export_form)f);
        *out = (silr_export_form)f;
        if (strcmp(names[f], to) == 0)
            return CLI_DONE;
    }
    near = cli_nearest(to, names, SILR_EXPORT_FORMS);
    return near ? cli_usage("export", "--to %s: did you mean %s?", to, near)
                : cli_usage("export", "--to %s: expected peft, merged, labelstudio, cleanlab, csv or jsonl", to);
}

static int type_of(silr_type *out, const char *type, silr_export_form form)
{
    static const char *const names[] = {"f32", "f16", "bf16"};

    *out = SILR_TYPE_F32;
    if (!type)
        return CLI_DONE;
    if (form != SILR_EXPORT_MERGED)
        return cli_usage("export", "--type is for --to merged");
    for (int t = 0; t < 3; t++)
        if (strcmp(type, names[t]) == 0) {
            *out = (silr_type)t;
            return CLI_DONE;
        }
    return cli_usage("export", "--type %s: expected f32, bf16 or f16", type);
}

static void print_json(const silr_export_opts *o, const silr_export_outcome *out)
{
    silr_buf b = {0};

    silr_buf_printf(&b, "{\"form\":\"%s\",\"place\":", silr_export_name(o->form));
    silr_buf_json(&b, o->place, strlen(o->place));
    if (o->form > SILR_EXPORT_MERGED) {
        silr_buf_printf(&b, ",\"rows\":%zu,\"left_out\":%zu}", out->rows, out->left_out);
    } else {
        silr_buf_printf(&b, ",\"compared\":%zu,\"difference\":", out->compared);
        silr_buf_number(&b, out->difference, 6);
        silr_buf_putc(&b, '}');
    }
    if (b.data)
        puts(b.data);
    silr_buf_clear(&b);
}

static void print_line(const silr_export_opts *o, const silr_export_outcome *out)
{
    if (o->form > SILR_EXPORT_MERGED)
        printf("%s: %zu texts, read back\n", o->place, out->rows);
    else if (out->compared > 0)
        printf("%s: read back, the scores of %zu texts differ by %.2g at most\n", o->place, out->compared, out->difference);
    else
        printf("%s: written; the corpus has no text to compare by\n", o->place);
    if (out->left_out > 0)
        cli_say("%zu texts have no first label or no probabilities and were left out", out->left_out);
    if (out->no_tokenizer)
        cli_say("the base is a GGUF file: take tokenizer.json and tokenizer_config.json from the original model");
    if (out->foreign_base && !o->base_name)
        cli_say("the base is a GGUF file: give the original model's name with --base, for peft to find");
}

static int export(const cli_args *a)
{
    silr_export_opts o = {.place = a->args[1], .base_name = a->base, .base = a->model,
                          .limit = a->limit > 0 ? (size_t)a->limit : 0};
    silr_export_outcome out;
    silr_error err = {0};
    silr_status st;

    if (form_of(&o.form, a->to) != CLI_DONE || type_of(&o.type, a->type, o.form) != CLI_DONE)
        return CLI_USAGE;
    if (a->base && o.form != SILR_EXPORT_PEFT)
        return cli_usage("export", "--base is for --to peft");
    omp_set_num_threads(silr_threads(a->threads > 0 ? (int)a->threads : 0));
    cli_signals_start(); /* a stopped export leaves nothing */
    st = silr_export(a->args[0], &o, &out, &err);
    if (st != SILR_OK)
        return cli_complain(st, &err);
    if (a->json)
        print_json(&o, &out);
    else
        print_line(&o, &out);
    return CLI_DONE;
}

const cli_command cli_export = {
    .name = "export", .operands = "RUN PLACE",
    .summary = "give labels or a fine-tuned model to other programs",
    .examples = {{"silr export runs/reviews --to peft adapter", "classifier qlora, for transformers and peft"},
                 {"silr export runs/reviews --to merged model", "the whole model, for transformers"},
                 {"silr export runs/reviews --to csv out.csv", "id, text, first label, label, score"}},
    .about = "PLACE is a folder, new or empty, for peft and merged, else a file. What is written is read\n"
             "back and compared before it gets its name: the scores of 100 texts, or all labels (exit 1\n"
             "where they differ). The corpus must lie where it lay when the run was made.",
    .options = CLI_OPT_SHARE | CLI_OPT_MODEL | CLI_OPT_JSON, .min_args = 2, .max_args = 2, .run = export,
};
