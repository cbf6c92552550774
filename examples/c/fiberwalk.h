/*
 * fiberwalk: Bayesian neural networks on microcontrollers, for firmware in C.
 *
 *     static fw_model model;
 *     static uint32_t scratch[SCRATCH_LEN];    // at least fw_scratch_len(&model) words
 *
 *     fw_status status = fw_model_init(&model, file, file_len);
 *     ...
 *     fw_prediction prediction;
 *     status = fw_predict(&model, sensors, FEATURES, fw_samples(&model),
 *                         scratch, SCRATCH_LEN, &prediction);
 *     if (status == FW_OK && prediction.classification.sure)
 *         act(prediction.classification.top);
 *
 * No heap, no libc, no globals, no locks: calls with different scratch may run at the same time.
 * Pointers must be valid for the length beside them. A null or misaligned one is refused with an
 * error; nothing is read through it.
 */
#ifndef FIBERWALK_H
#define FIBERWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a call ended. The numbers never change; later versions may add some. */
typedef int32_t fw_status;
enum {
    FW_OK = 0,
    FW_NULL_POINTER = 1,       /* a pointer is null */
    FW_MISALIGNED = 2,         /* a pointer is not aligned to its type */
    FW_NOT_INITIALISED = 3,    /* the model is zero, or fw_model_init refused it */
    FW_NOT_A_MODEL = 4,        /* the bytes are no .fwk file */
    FW_UNKNOWN_VERSION = 5,    /* the file is of a later format */
    FW_CORRUPT = 6,            /* the file is truncated, too long, or its checksum is wrong */
    FW_INVALID_MODEL = 7,      /* the file contradicts itself */
    FW_WRONG_INPUT_LEN = 8,    /* another number of inputs than fw_input_len */
    FW_INPUT_NOT_FINITE = 9,   /* an input is NaN or infinite */
    FW_SCRATCH_TOO_SMALL = 10, /* fewer words of scratch than fw_scratch_len */
    FW_NO_SAMPLES = 11,        /* zero samples were asked for */
    FW_TOO_MANY_SAMPLES = 12,  /* more than 4,096 samples, or than the file stores codes */
    FW_OTHER = 13              /* anything else */
};

/* A status in words: a constant string, never null, whatever the number. */
const char *fw_status_text(fw_status status);

/* Size of fw_model, in pointers: 1 KB on a 32-bit core. */
#define FW_MODEL_POINTERS 256

/*
 * A model that has been read. Its content is private. Best a zeroed static: the functions below
 * refuse one that is all zero. It may be copied and needs no clean-up.
 */
typedef union fw_model {
    uint64_t alignment;
    void *opaque[FW_MODEL_POINTERS];
} fw_model;

/*
 * Reads and checks a .fwk file.
 *
 * model  to be written; needs no value before.
 * bytes  the file, at any alignment, such as in flash. Not copied: it must stay as it is for as long
 *        as the model is in use.
 * len    its length, bytes.
 *
 * FW_NULL_POINTER, FW_MISALIGNED, FW_NOT_A_MODEL, FW_UNKNOWN_VERSION, FW_CORRUPT, FW_INVALID_MODEL.
 */
fw_status fw_model_init(fw_model *model, const uint8_t *bytes, size_t len);

/* Properties of a model. All are 0 for a null pointer and a model that is not initialised. */

/* Words of scratch that a prediction needs at least. */
size_t fw_scratch_len(const fw_model *model);
/* Number of input features. */
size_t fw_input_len(const fw_model *model);
/* Number of samples that the trainer recommends, 1 to 4,096. */
uint16_t fw_samples(const fw_model *model);
/* Number of classes; 0 for regression. */
size_t fw_classes(const fw_model *model);

/*
 * Name of class number `index`, in the file: `*len` bytes of UTF-8, NOT ended by a zero. Null, and
 * `*len` as it was, if there is no such class or a pointer is null.
 */
const char *fw_class_name(const fw_model *model, size_t index, size_t *len);

/* What is predicted: which member of an fw_prediction holds. */
typedef int32_t fw_kind;
enum {
    FW_CLASSIFICATION = 0,
    FW_REGRESSION = 1
};

/* A predictive distribution over classes. */
typedef struct fw_classification {
    /* Calibrated probability of every class. In the scratch: gone when that is used again. */
    const float *probabilities;
    size_t classes;           /* their number */
    size_t top;               /* the likeliest class */
    float probability;        /* its probability, 0 to 1 */
    float entropy;            /* of the probabilities, nats */
    float mutual_information; /* how much the samples disagree (epistemic), nats */
    float expected_entropy;   /* doubt that more data would not remove (aleatoric), nats */
    /*
     * The conformal prediction set: the classes with at least this probability. It holds the true
     * class with the calibrated coverage. Infinite if the set is empty.
     */
    float set_threshold;
    size_t set_len;           /* size of the set, from 0 */
    bool sure;                /* one class alone is in the set, and the input is not foreign */
} fw_classification;

/* A predictive distribution of a number, in the target's units. */
typedef struct fw_regression {
    float mean;
    float std;                /* total standard deviation: epistemic and aleatoric */
    float epistemic_std;      /* standard deviation between samples */
    float lower;              /* ends of the conformal interval */
    float upper;
} fw_regression;

/* A calibrated predictive distribution. */
typedef struct fw_prediction {
    fw_kind kind;
    /* Whether the samples disagree more than on almost all calibration rows: a foreign input. */
    bool out_of_distribution;
    union {
        fw_classification classification; /* if kind is FW_CLASSIFICATION */
        fw_regression regression;         /* if kind is FW_REGRESSION */
    };
} fw_prediction;

/*
 * The posterior predictive at an input. Latent codes come from the source that the file names;
 * drawn ones have a fixed seed. The result has the same bits as on a workstation.
 *
 * model        as fw_model_init left it.
 * input, len   one value a feature, in the units of the training data; finite.
 * samples      passes to average: fw_samples(model), or any number from 1 to 4,096. With stored codes at
 *              most as many as the file holds.
 * scratch      at least fw_scratch_len(model) words, of any value; overlaps nothing else.
 * scratch_len  its length, in words of 32 bits.
 * out          the result; written only with FW_OK.
 *
 * FW_NULL_POINTER, FW_MISALIGNED, FW_NOT_INITIALISED, FW_WRONG_INPUT_LEN, FW_INPUT_NOT_FINITE,
 * FW_SCRATCH_TOO_SMALL, FW_NO_SAMPLES, FW_TOO_MANY_SAMPLES, FW_OTHER.
 */
fw_status fw_predict(const fw_model *model, const float *input, size_t len, uint16_t samples,
                     uint32_t *scratch, size_t scratch_len, fw_prediction *out);

#ifdef __cplusplus
}
#endif

#endif
