/* ops_made.h - made-up numbers and matrices for the tests of the operations. */
#ifndef SILR_TEST_OPS_MADE_H
#define SILR_TEST_OPS_MADE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/kernels.h"

extern silr_error err;
void must(silr_status st); /* or the test fails, with err */

/* Normal numbers, the same for the same seed. Freed with silr_free, as all here. */
float *made(uint64_t seed, size_t n);
/* A matrix (columns 0: a vector) of random bytes with scales near 0.01; freed with free_tensor. */
silr_tensor *made_tensor(uint64_t seed, silr_type type, size_t rows, size_t columns);
void free_tensor(silr_tensor *t);
/* |got - want| / |want| over n values, rows `width` long and `ld` apart. */
double apart(const float *got, const float *want, size_t rows, size_t width, size_t ld);
void close_to(const char *what, double distance, double most);
/* Numbers that no kernel may touch, between the rows and behind them. */
enum { GAP = 5 };
float *untouched(size_t rows, size_t ld);
void gaps_are_untouched(const float *v, size_t rows, size_t width, size_t ld);
/* Calls f with the kernels of each kind that runs here in use. */
void with_all_kernels(void (*f)(void));

#endif
