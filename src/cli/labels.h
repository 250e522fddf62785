/* labels.h - the labelled file: which texts a person has labelled, and how.
 *
 * CSV with columns id and label (JSONL where the name says so). It is written after every key: a
 * line is appended with one write and flushed to the disk; undo writes the whole file anew and
 * renames it into place. It is the user's file: what is in it is never dropped. */
#ifndef SILR_CLI_LABELS_H
#define SILR_CLI_LABELS_H

#include "run/run.h"

typedef struct {
    const silr_session *s;
    char *path;
    bool jsonl;
    size_t n, cap;
    struct labelled {
        size_t doc;
        int label;
    } *item;    /* in the order of the file */
    int *label; /* by document; SILR_NO_LABEL: not labelled */
} cli_labels;

/* Reads the file when there is one. SILR_EINPUT: file and line of an id that the corpus has not, of
 * a label that is no class. */
silr_status cli_labels_open(cli_labels *l, const silr_session *s, const char *path, silr_error *err);
void cli_labels_close(cli_labels *l);
silr_status cli_labels_add(cli_labels *l, size_t doc, int label, silr_error *err);
silr_status cli_labels_undo(cli_labels *l, silr_error *err); /* takes the last one back */
/* Reads rows {id, label}; empty labels are passed over. Counts what is new. Nothing is written. */
silr_status cli_labels_read(cli_labels *l, const char *path, size_t *added, silr_error *err);
silr_status cli_labels_write(const cli_labels *l, silr_error *err);

/* The screen: asks until `wanted` texts are labelled, returns when done, left (SILR_OK) or
 * interrupted. The chooser knows of all labels before and after. */
silr_status cli_screen(cli_labels *l, silr_chooser *chooser, size_t wanted, silr_error *err);
bool cli_screen_possible(void);

#endif
