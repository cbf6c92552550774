/* Predicts a number and prints the bits of the result, one field a line, to compare with a host. */
#include "fiberwalk.h"
#include "semihosting.h"

extern const uint8_t model_file[], model_file_end[];

static fw_model model;
static uint32_t scratch[256];
/* The same numbers as in c_interface.rs. */
static const float input[] = {0.5f, -1.25f, 2};

static void field(const char *name, float value)
{
    union {
        float value;
        uint32_t bits;
    } both = {value};
    print(name);
    print(" 0x");
    print_number(both.bits, 16, 8);
    print("\n");
}

int main(void)
{
    fw_prediction prediction;
    fw_status status = fw_model_init(&model, model_file, (size_t)(model_file_end - model_file));
    if (status == FW_OK)
        status = fw_predict(&model, input, sizeof input / sizeof *input, fw_samples(&model), scratch,
                            sizeof scratch / sizeof *scratch, &prediction);
    if (status != FW_OK || prediction.kind != FW_REGRESSION || fw_classes(&model) != 0) {
        print(fw_status_text(status));
        return 1;
    }
    field("mean", prediction.regression.mean);
    field("std", prediction.regression.std);
    field("epistemic_std", prediction.regression.epistemic_std);
    field("lower", prediction.regression.lower);
    field("upper", prediction.regression.upper);
    print(prediction.out_of_distribution ? "out of distribution\n" : "familiar\n");
    return 0;
}
