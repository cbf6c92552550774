/*
 * Classifies the digits of the firmware in Rust, and things that are none, through the C interface.
 * Exits with 0 only if every result equals the host's bit for bit, with 1 if one differs, with 2 if
 * the model cannot be read.
 */
#include "fiberwalk.h"
#include "semihosting.h"

/* Written by `run` from what the trainer exported: sizes of the model, and cases with the host's
 * results. */
#include "model.h"

struct golden_case {
    const char *name;
    uint8_t pixels[MODEL_FEATURES];
    /* Bits of floats. */
    uint32_t probabilities[MODEL_CLASSES], entropy, mutual_information, expected_entropy;
    uint32_t set; /* prediction set, one bit a class */
    bool out_of_distribution, sure;
};

#include "golden.h"

enum { EQUAL = 0, DIFFERENT = 1, DAMAGED = 2 };

/* From model.S. */
extern const uint8_t model_file[], model_file_end[];

/* Static, so that the linker counts them. */
static fw_model model;
static uint32_t scratch[MODEL_SCRATCH_LEN];

/* Whether two values are equal; prints them if not. */
static bool same(const char *what, uint32_t here, uint32_t host)
{
    if (here == host)
        return true;
    print("    DIFFERS: ");
    print(what);
    print(" is 0x");
    print_number(here, 16, 8);
    print(", the host's is 0x");
    print_number(host, 16, 8);
    print("\n");
    return false;
}

static uint32_t bits(float value)
{
    union {
        float value;
        uint32_t bits;
    } both = {value};
    return both.bits;
}

static bool equals_host(const fw_prediction *prediction, const struct golden_case *host)
{
    const fw_classification *here = &prediction->classification;
    if (!same("kind", (uint32_t)prediction->kind, FW_CLASSIFICATION) ||
        !same("number of classes", here->classes, MODEL_CLASSES))
        return false;
    bool equal = true;
    uint32_t set = 0, set_len = 0;
    for (size_t class = 0; class < MODEL_CLASSES; class++) {
        float probability = here->probabilities[class];
        equal &= same("probability", bits(probability), host->probabilities[class]);
        bool in_set = probability >= here->set_threshold;
        set |= (uint32_t)in_set << class;
        set_len += in_set;
    }
    equal &= same("entropy", bits(here->entropy), host->entropy);
    equal &= same("mutual information", bits(here->mutual_information), host->mutual_information);
    equal &= same("expected entropy", bits(here->expected_entropy), host->expected_entropy);
    equal &= same("prediction set", set, host->set);
    equal &= same("its size", here->set_len, set_len);
    equal &= same("out of distribution", prediction->out_of_distribution, host->out_of_distribution);
    equal &= same("sure", here->sure, host->sure);
    return equal;
}

/* Prints what the model thinks of a case. */
static void show(const struct golden_case *seen, const fw_prediction *prediction)
{
    const fw_classification *class = &prediction->classification;
    print(seen->name);
    print(": class ");
    size_t len = 0;
    const char *name = fw_class_name(&model, class->top, &len);
    for (size_t i = 0; i < len; i++)
        print((const char[]){name[i], '\0'});
    print(", probability ");
    print_decimal(class->probability);
    print(", entropy ");
    print_decimal(class->entropy);
    print(prediction->out_of_distribution ? ", out of distribution" : "");
    print(class->sure ? ", sure\n" : ", unsure\n");
}

/* Predicts a case, shows the result, and says whether every bit is the host's. */
static bool predicts_as_host(const struct golden_case *seen)
{
    float input[MODEL_FEATURES];
    for (size_t i = 0; i < MODEL_FEATURES; i++)
        input[i] = seen->pixels[i];
    fw_prediction prediction;
    fw_status status = fw_predict(&model, input, MODEL_FEATURES, fw_samples(&model), scratch,
                                  MODEL_SCRATCH_LEN, &prediction);
    if (status != FW_OK) {
        print("    FAILED: ");
        print(fw_status_text(status));
        print("\n");
        return false;
    }
    show(seen, &prediction);
    return equals_host(&prediction, seen);
}

int main(void)
{
    fw_status status = fw_model_init(&model, model_file, (size_t)(model_file_end - model_file));
    if (status != FW_OK) {
        print("the model cannot be read: ");
        print(fw_status_text(status));
        print("\n");
        return DAMAGED;
    }
    const uint32_t cases = sizeof CASES / sizeof *CASES;
    uint32_t equal = 0;
    for (uint32_t i = 0; i < cases; i++)
        equal += predicts_as_host(&CASES[i]);
    print_number(equal, 10, 1);
    print(" of ");
    print_number(cases, 10, 1);
    print(" results equal the host's bit for bit\n");
    return equal == cases ? EQUAL : DIFFERENT;
}
