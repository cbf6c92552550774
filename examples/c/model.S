/* The model's file in flash. `run` sets its path. */
    .section .rodata.model, "a"
    .global model_file, model_file_end
model_file:
    .incbin MODEL_FILE
model_file_end:
