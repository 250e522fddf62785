/* guess.h - what a file of texts seems to hold, for `silr init`. */
#ifndef SILR_CLI_GUESS_H
#define SILR_CLI_GUESS_H

#include "corpus/corpus.h"

enum { GUESS_COLUMNS = 256, GUESS_VALUES = 21 };

typedef struct {
    char *name;
    size_t present, numbers; /* rows with a value; with one that reads as a number */
    double bytes, spaces;    /* summed over the rows */
    size_t n_values;         /* different values, counted up to GUESS_VALUES */
    char *value[GUESS_VALUES];
    bool unique;             /* no value stood in the row before: may be an id */
    uint64_t last;
} guess_column;

typedef struct {
    size_t rows, n;
    silr_format format;
    guess_column column[GUESS_COLUMNS];
    int text, id, label, annotator; /* columns; -1: none found */
} guess;

/* Looks at the first `limit` rows of a file. SILR_EINPUT: no rows, or none with a text. */
silr_status cli_guess(guess **out, const char *path, int64_t limit, silr_error *err);
void cli_guess_free(guess *g);

#endif
