/* words.h - comparing words as people do (words.c); shared by answer.c and tokens.c. */
#ifndef SILR_CHAT_WORDS_H
#define SILR_CHAT_WORDS_H

#include "chat/chat.h"

enum { WORDS_MAX = 256 }; /* bytes of a name of a class, folded, and of what may be one */

/* Lower case; nothing else changes. Returns the length, SIZE_MAX: it does not fit. */
size_t silr_words_lower(char *out, size_t room, const char *s, size_t len);
/* Lower case; everything but letters and digits becomes one space between words. */
size_t silr_words_fold(char *out, size_t room, const char *s, size_t len);
/* What stands behind the thoughts: content without <think>...</think>; NULL: it never ends. */
const char *silr_words_thought_of(const char *content, size_t len, size_t *left);

#endif
