/*
 * Every way to misuse the C interface ends with its own status, reads nothing it must not, and
 * leaves the result as it was. Exits with 0 only if so. Run on the digits' model.
 */
#include "fiberwalk.h"
#include "semihosting.h"

#include "model.h"

extern const uint8_t model_file[], model_file_end[];

#define FILE_LEN ((size_t)(model_file_end - model_file))

/* A model's file that can be changed. */
static uint8_t changed[64 * 1024];
static fw_model model, zero;
static float input[MODEL_FEATURES + 1];
static uint32_t scratch[MODEL_SCRATCH_LEN + 1];
/* Its kind tells whether it was written. */
static fw_prediction result = {.kind = -1};
static int failures;

static void expect(const char *what, int32_t found, int32_t expected)
{
    print(what);
    if (found == expected) {
        print(": ok\n");
        return;
    }
    print(": WRONG: ");
    print_number((uint32_t)found, 10, 1);
    print(", expected ");
    print_number((uint32_t)expected, 10, 1);
    print("\n");
    failures++;
}

/* Status of reading the first `len` bytes of a file with one bit of the byte at `place` flipped. */
static fw_status read_changed(size_t len, size_t place)
{
    for (size_t i = 0; i < FILE_LEN; i++)
        changed[i] = model_file[i];
    changed[place] ^= 1;
    return fw_model_init(&model, changed, len);
}

static void files(void)
{
    expect("no model", fw_model_init(NULL, model_file, FILE_LEN), FW_NULL_POINTER);
    expect("no file", fw_model_init(&model, NULL, 0), FW_NULL_POINTER);
    fw_model *odd = (fw_model *)((uintptr_t)&model + 1);
    expect("misaligned model", fw_model_init(odd, model_file, FILE_LEN), FW_MISALIGNED);
    expect("empty file", fw_model_init(&model, model_file, 0), FW_CORRUPT);
    expect("half a file", fw_model_init(&model, model_file, FILE_LEN / 2), FW_CORRUPT);
    expect("a byte too many", read_changed(FILE_LEN + 1, FILE_LEN), FW_CORRUPT);
    expect("a flipped bit", read_changed(FILE_LEN, FILE_LEN / 2), FW_CORRUPT);
    expect("other magic", read_changed(FILE_LEN, 0), FW_NOT_A_MODEL);
    /* The version is the fifth and sixth byte. */
    expect("later version", read_changed(FILE_LEN, 5), FW_UNKNOWN_VERSION);
    expect("its scratch", (int32_t)fw_scratch_len(&model), 0);
    expect("good file", fw_model_init(&model, model_file, FILE_LEN), FW_OK);
}

static void properties(void)
{
    expect("scratch", (int32_t)fw_scratch_len(&model), MODEL_SCRATCH_LEN);
    expect("inputs", (int32_t)fw_input_len(&model), MODEL_FEATURES);
    expect("samples", fw_samples(&model), MODEL_SAMPLES);
    expect("classes", (int32_t)fw_classes(&model), MODEL_CLASSES);
    expect("scratch of none", (int32_t)fw_scratch_len(NULL), 0);
    expect("inputs of a zero model", (int32_t)fw_input_len(&zero), 0);
    expect("samples of none", fw_samples(NULL), 0);
    expect("classes of a zero model", (int32_t)fw_classes(&zero), 0);
    size_t len = 99;
    expect("name beyond the last", fw_class_name(&model, MODEL_CLASSES, &len) == NULL, 1);
    expect("its length", (int32_t)len, 99);
    expect("name without length", fw_class_name(&model, 0, NULL) == NULL, 1);
    expect("name", fw_class_name(&model, 1, &len)[0], '1');
    expect("its length", (int32_t)len, 1);
}

static fw_status predict(const fw_model *from, const float *at, size_t len, uint16_t samples,
                         uint32_t *with, size_t with_len)
{
    return fw_predict(from, at, len, samples, with, with_len, &result);
}

static void predictions(void)
{
    const size_t n = MODEL_FEATURES, s = MODEL_SCRATCH_LEN;
    const float *odd_input = (const float *)((uintptr_t)input + 1);
    uint32_t *odd_scratch = (uint32_t *)((uintptr_t)scratch + 2);
    expect("no model", predict(NULL, input, n, 1, scratch, s), FW_NULL_POINTER);
    expect("a zero model", predict(&zero, input, n, 1, scratch, s), FW_NOT_INITIALISED);
    expect("no input", predict(&model, NULL, n, 1, scratch, s), FW_NULL_POINTER);
    expect("misaligned input", predict(&model, odd_input, n, 1, scratch, s), FW_MISALIGNED);
    expect("an input too few", predict(&model, input, n - 1, 1, scratch, s), FW_WRONG_INPUT_LEN);
    expect("an input too many", predict(&model, input, n + 1, 1, scratch, s), FW_WRONG_INPUT_LEN);
    expect("no scratch", predict(&model, input, n, 1, NULL, s), FW_NULL_POINTER);
    expect("misaligned scratch", predict(&model, input, n, 1, odd_scratch, s), FW_MISALIGNED);
    expect("short scratch", predict(&model, input, n, 1, scratch, s - 1), FW_SCRATCH_TOO_SMALL);
    expect("no samples", predict(&model, input, n, 0, scratch, s), FW_NO_SAMPLES);
    expect("65,535 samples", predict(&model, input, n, UINT16_MAX, scratch, s), FW_TOO_MANY_SAMPLES);
    expect("no result", fw_predict(&model, input, n, 1, scratch, s, NULL), FW_NULL_POINTER);
    input[n - 1] = __builtin_nanf("");
    expect("NaN", predict(&model, input, n, 1, scratch, s), FW_INPUT_NOT_FINITE);
    input[n - 1] = -__builtin_inff();
    expect("infinity", predict(&model, input, n, 1, scratch, s), FW_INPUT_NOT_FINITE);
    input[n - 1] = 0;
    expect("the result", result.kind, -1);
    expect("good arguments", predict(&model, input, n, 1, scratch, s), FW_OK);
    expect("the result", result.kind, FW_CLASSIFICATION);
}

int main(void)
{
    files();
    properties();
    predictions();
    expect("text of ok", fw_status_text(FW_OK)[0], 'o');
    expect("text of any number", fw_status_text(-7) != NULL, 1);
    return failures > 0;
}
