/* share_about.c - the README.md beside a shared classifier: how it is loaded, what a score means. */
#include "classify/share_inside.h"
#include "formats/hf_write.h"

#include <string.h>

static bool adapter(const silr_sharing *s)
{
    return s->o->form == SILR_SHARE_ADAPTER;
}

static const char *base_name(const silr_sharing *s)
{
    return s->o->base_name ? s->o->base_name : s->m->about.base.name;
}

static void add_json(silr_buf *b, const char *s)
{
    silr_buf_json(b, s, strlen(s));
}

/* --- Python ------------------------------------------------------------------------------------- */

/* The token that fills up is named by its id, which is sure to be the one that the model passes over. */
static void add_tokenizer(silr_buf *b, const silr_sharing *s)
{
    silr_buf_puts(b, "tokenizer = AutoTokenizer.from_pretrained(");
    add_json(b, adapter(s) ? base_name(s) : s->folder ? "." : "THE ORIGINAL MODEL");
    silr_buf_puts(b, ", padding_side=\"right\")\n");
    if (s->pad >= 0)
        silr_buf_printf(b, "tokenizer.pad_token_id = %lld\n", (long long)s->pad);
}

static void add_model(silr_buf *b, const silr_sharing *s)
{
    const char *kind = s->by_token ? "AutoModelForTokenClassification" : "AutoModelForSequenceClassification";

    if (!adapter(s)) {
        silr_buf_printf(b, "model = %s.from_pretrained(\".\").float().eval()\n", kind);
        return;
    }
    silr_buf_printf(b, "base = %s.from_pretrained(", kind);
    add_json(b, base_name(s));
    silr_buf_printf(b, ", num_labels=%d", s->m->columns);
    if (s->pad >= 0)
        silr_buf_printf(b, ", pad_token_id=%lld", (long long)s->pad);
    silr_buf_puts(b, ").float()\nmodel = PeftModel.from_pretrained(base, \".\").eval()\n");
}

/* What makes one row of scores of what the model says. */
static void add_scores(silr_buf *b, const silr_sharing *s)
{
    silr_buf_printf(b, "batch = tokenizer(texts, padding=True, truncation=True, max_length=%zu, return_tensors=\"pt\")\n",
                    s->m->about.base.opts.max_tokens);
    if (!s->by_token)
        silr_buf_puts(b, "scores = model(**batch).logits\n");
    else if (s->pooling == SILR_POOL_CLS)
        silr_buf_puts(b, "scores = model(**batch).logits[:, 0]\n");
    else if (s->pooling == SILR_POOL_LAST)
        silr_buf_puts(b, "scores = model(**batch).logits[range(len(texts)), batch.attention_mask.sum(1) - 1]\n");
    else
        silr_buf_puts(b, "mask = batch.attention_mask[..., None]\n"
                         "scores = (model(**batch).logits * mask).sum(1) / mask.sum(1)\n");
}

static void add_probabilities(silr_buf *b, const silr_sharing *s)
{
    const silr_qlora_data *q = &s->m->about;
    const size_t C = (size_t)q->columns;

    if (C == 1) {
        silr_buf_puts(b, "probability = torch.sigmoid(");
        silr_buf_number(b, q->A[0], 9);
        silr_buf_puts(b, " * scores + ");
        silr_buf_number(b, q->b[0], 9);
        silr_buf_puts(b, ")\n");
        return;
    }
    silr_buf_puts(b, "A = torch.tensor([");
    for (size_t k = 0; k < C * C; k++) {
        silr_buf_puts(b, k == 0 ? "[" : k % C == 0 ? "], [" : ", ");
        silr_buf_number(b, q->A[k], 9);
    }
    silr_buf_puts(b, "]])\nb = torch.tensor([");
    for (size_t k = 0; k < C; k++) {
        silr_buf_puts(b, k ? ", " : "");
        silr_buf_number(b, q->b[k], 9);
    }
    silr_buf_puts(b, "])\nprobabilities = torch.softmax(scores @ A.T + b, -1)\n");
}

/* --- words -------------------------------------------------------------------------------------- */

static void add_meaning(silr_buf *b, const silr_sharing *s)
{
    const silr_qlora_data *q = &s->m->about;

    if (q->columns == 1) {
        silr_buf_puts(b, "A text has one score: above 0 it speaks for class 0, ");
        add_json(b, q->classes[0]);
        silr_buf_puts(b, ", below for class 1, ");
        add_json(b, q->classes[1]);
        silr_buf_puts(b, ". `probability` is silr's\ncalibrated probability of class 0; `silr predict` says class 0 "
                         "where it is above 0.5.\n");
        return;
    }
    silr_buf_puts(b, "A text has a score for each class:");
    for (int k = 0; k < q->K; k++) {
        silr_buf_printf(b, "%s %d is ", k ? "," : "", k);
        add_json(b, q->classes[k]);
    }
    silr_buf_puts(b, ".\n`probabilities` are silr's calibrated ones; `silr predict` says the class with the largest.\n");
}

static void add_base(silr_buf *b, const silr_sharing *s)
{
    static const char *const forms[] = {"4-bit NF4 with double quantisation", "32-bit floats", "as in its file"};

    if (!adapter(s)) {
        silr_buf_puts(b, "\nThe weights are those that the classifier was trained with: the base ");
        add_json(b, s->m->about.base.name);
        silr_buf_puts(b, ",\nwhat was trained merged into it.\n");
        if (!s->folder)
            silr_buf_puts(b, "The base was a GGUF file, whose tokenizer transformers cannot use from here: take that of the original\n"
                             "model, or copy its tokenizer files into this folder.\n");
        return;
    }
    silr_buf_printf(b, "\nThe base was kept in %s while the adapter was trained. On other weights of the\n"
                       "same model the scores are near, not equal; a merged export has the very weights.\n",
                    forms[s->m->about.form]);
    if (!s->folder)
        silr_buf_puts(b, "The base was a GGUF file. For peft name the original model (silr export --base ORG/NAME), or load\n"
                         "the file's own weights with `from_pretrained(FOLDER, gguf_file=FILE)`.\n");
}

silr_status silr_share_about(const silr_sharing *s, silr_error *err)
{
    char *path = silr_path_join(s->dir, "README.md");
    silr_buf b = {0};
    silr_status st;

    silr_buf_printf(&b, "# A text classifier, fine-tuned by silr\n\nWith this folder as the current one:\n\n```python\nimport torch\n%s"
                        "from transformers import %s, AutoTokenizer\n\n",
                    adapter(s) ? "from peft import PeftModel\n" : "",
                    s->by_token ? "AutoModelForTokenClassification" : "AutoModelForSequenceClassification");
    add_tokenizer(&b, s);
    add_model(&b, s);
    add_scores(&b, s);
    add_probabilities(&b, s);
    silr_buf_puts(&b, "```\n\n");
    add_meaning(&b, s);
    add_base(&b, s);
    st = b.failed || !path ? silr_fail_memory(err) : silr_file_write(path, b.data, b.len, err);
    silr_buf_clear(&b);
    silr_free(path);
    return st;
}
