/* A QEMU plugin: instructions of every prediction, for each statement of the predict function under which they ran.
 *
 * A prediction begins in bench_predict and ends back in main. Instructions of the functions that it calls count for the
 * last address that was executed in bench_predict or us_..._predict itself: the site of the call. The output has lines
 * "prediction site count". Prototypes are declared here, because Debian 12 ships QEMU without its plugin header.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *block, void (*callback)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *instruction);

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;

typedef struct site {
    uint64_t address;
    uint64_t count;
    struct site *next;
} site;

typedef struct {
    size_t instructions;
    site *own; /* null outside of the predict functions */
    int ends;
} block;

static FILE *out;
static site *sites;
static site *current; /* null while no prediction runs */
static unsigned prediction;

static site *site_at(uint64_t address) {
    site *found = sites;
    while (found != NULL && found->address != address) {
        found = found->next;
    }
    if (found == NULL) {
        found = calloc(1, sizeof *found);
        found->address = address;
        found->next = sites;
        sites = found;
    }
    return found;
}

static void write_prediction(void) {
    for (site *each = sites; each != NULL; each = each->next) {
        if (each->count) {
            fprintf(out, "%u %" PRIu64 " %" PRIu64 "\n", prediction, each->address, each->count);
            each->count = 0;
        }
    }
    prediction++;
}

static void executed(unsigned cpu, void *data) {
    const block *ran = data;
    (void)cpu;
    if (ran->ends) {
        if (current != NULL) {
            write_prediction();
            current = NULL;
        }
        return;
    }
    if (ran->own != NULL) {
        current = ran->own;
    }
    if (current != NULL) {
        current->count += ran->instructions;
    }
}

static int is_predict(const char *symbol) {
    const size_t length = strcspn(symbol, "."); /* gcc calls a copy for these very arguments us_..._predict.constprop.0 */
    const int generated = strncmp(symbol, "us_", 3) == 0 && length > 8 && strncmp(symbol + length - 8, "_predict", 8) == 0;
    return generated || strcmp(symbol, "bench_predict") == 0;
}

static void translated(plugin_id id, struct qemu_plugin_tb *translation) {
    const size_t count = qemu_plugin_tb_n_insns(translation);
    const char *symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(translation, 0));
    block *made = calloc(1, sizeof *made);
    (void)id;
    made->instructions = count;
    if (symbol != NULL) {
        made->ends = strcmp(symbol, "main") == 0;
        if (is_predict(symbol)) {
            made->own = site_at(qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(translation, count - 1)));
        }
    }
    qemu_plugin_register_vcpu_tb_exec_cb(translation, executed, 0, made);
}

static void finished(plugin_id id, void *data) {
    (void)id;
    (void)data;
    fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments) {
    (void)info;
    if (count != 1 || strncmp(arguments[0], "out=", 4) != 0 || (out = fopen(arguments[0] + 4, "w")) == NULL) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
