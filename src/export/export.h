/* export.h - what a run came to, as other programs take it; read back before it has its name.
 *
 *     peft         a folder: the adapter of classifier qlora, for transformers and peft
 *     merged       a folder: the whole fine-tuned model, for transformers
 *     labelstudio  a file: tasks with predictions, to be looked through by people
 *     cleanlab     a file: the given label and the refined probabilities, as CSV
 *     csv, jsonl   a file: id, text, first label, refined label, score
 *
 *     silr_export_outcome out;
 *     const silr_export_opts o = {.form = SILR_EXPORT_CSV, .place = "labels.csv"};
 *     st = silr_export("runs/reviews", &o, &out, err);
 *
 * What is exported lies beside its place until silr's own readers have found in it what went in: labels and
 * rows, or the scores of texts of the corpus. Nothing else stays behind, whatever happens.
 * export/ knows every module below it and no formula of any. */
#ifndef SILR_EXPORT_H
#define SILR_EXPORT_H

#include "base/base.h"
#include "formats/formats.h"

typedef enum {
    SILR_EXPORT_PEFT, SILR_EXPORT_MERGED, SILR_EXPORT_LABELSTUDIO, SILR_EXPORT_CLEANLAB, SILR_EXPORT_CSV,
    SILR_EXPORT_JSONL, SILR_EXPORT_FORMS
} silr_export_form;
const char *silr_export_name(silr_export_form form); /* "peft" */

enum { SILR_EXPORT_COMPARED = 100 /* texts whose scores are compared, where there are so many */ };

typedef struct {
    silr_export_form form;
    const char *place;     /* the folder (new, or empty) or the file (replaced) */
    const char *base_name; /* peft: what the base is to be called; NULL: as in the task */
    const char *base;      /* peft, merged: where the base is; NULL: where it was in training */
    silr_type type;        /* merged: F32, F16, BF16 */
    size_t limit;          /* files: the first texts only; 0: all */
} silr_export_opts;

typedef struct {
    size_t rows;         /* texts in the file */
    size_t left_out;     /* cleanlab: texts without a first label or probabilities */
    size_t compared;     /* texts whose scores were compared */
    double difference;   /* the largest that was found; NAN where none were */
    bool no_tokenizer;   /* merged: to be had from the original model; the base is a GGUF file */
    bool foreign_base;   /* peft: the base is a GGUF file */
} silr_export_outcome;

/* Exports the run in folder `run`. SILR_EINPUT: not a finished run, the corpus is not where it was, the
 * form does not suit the classifier, the folder is not empty. SILR_EBUG: what was read back differs. SILR_EIO,
 * SILR_ENOMEM, SILR_ECANCEL. */
silr_status silr_export(const char *run, const silr_export_opts *o, silr_export_outcome *out, silr_error *err);

#endif
