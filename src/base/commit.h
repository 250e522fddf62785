/* commit.h - which commit this program was built from; the build fills it in. */
#ifndef SILR_BASE_COMMIT_H
#define SILR_BASE_COMMIT_H

const char *silr_commit(void); /* "3f2a91c0d4b7", "3f2a91c0d4b7-dirty"; outside git "unknown" */
#define SILR_COMMIT silr_commit()

#endif
