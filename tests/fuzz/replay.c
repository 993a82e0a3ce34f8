/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libFuzzer: runs a target once over each file named on the command line, and over the files of each
 * folder named there. So every compiler can replay the corpus in the fast suite.
 *
 * usage: fuzz_NAME FILE-OR-FOLDER...
 */
#include "input.h"

#include <dirent.h>

#pragma weak LLVMFuzzerInitialize

/* Runs one file. Returns 1, or 0 if it cannot be read. */
static unsigned replay_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    fclose(file);
    char *copy = exact_copy(data, size, 0);
    if (LLVMFuzzerTestOneInput((const uint8_t *)copy, size) != 0) {
        fprintf(stderr, "%s: refused\n", path);
    }
    free(copy);
    return 1;
}

/* Runs the files of a folder. Returns their number. */
static unsigned replay_folder(DIR *folder, const char *name)
{
    char path[4096];
    unsigned count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);
            count += replay_file(path);
        }
    }
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        count += folder != NULL ? replay_folder(folder, argv[i]) : replay_file(argv[i]);
        if (folder != NULL) {
            closedir(folder);
        }
    }
    printf("replayed %u inputs\n", count);
    return count > 0 ? 0 : 1;
}
