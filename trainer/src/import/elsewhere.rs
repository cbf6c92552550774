//! Files of other libraries that are not read, and the way from each to one that is.

/// Why a file with this extension is not read, and how its network is saved for import; none of unknown extensions.
pub fn way_from(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "tflite" => {
            "a TensorFlow Lite file is not read. Save the Keras model that it was made from as ONNX: \
             model.export(\"model.onnx\", format=\"onnx\"); or convert it: python -m tf2onnx.convert --tflite \
             model.tflite --output model.onnx"
        }
        "h5" | "hdf5" | "keras" => {
            "a Keras file is not read. Save the model as ONNX: \
             keras.saving.load_model(FILE).export(\"model.onnx\", format=\"onnx\")"
        }
        "pb" | "meta" | "ckpt" => {
            "a TensorFlow graph is not read. Save the model as ONNX: python -m tf2onnx.convert --saved-model FOLDER \
             --output model.onnx"
        }
        "pt" | "pth" => {
            "a PyTorch file runs code when it is read. Save the weights from PyTorch: \
             safetensors.torch.save_file(net.state_dict(), \"net.safetensors\"); or the network: \
             torch.onnx.export(net, x[:1], \"net.onnx\")"
        }
        "mlmodel" | "mlpackage" => {
            "a Core ML file is not read. Save the network as ONNX from the library that it was made with, such as \
             PyTorch: torch.onnx.export(net, x[:1], \"net.onnx\")"
        }
        "pkl" | "pickle" | "joblib" => {
            "a pickle runs code when it is read. Save the model as ONNX from scikit-learn: \
             open(\"model.onnx\", \"wb\").write(skl2onnx.to_onnx(model, x[:1]).SerializeToString())"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::way_from;

    /// Every way ends at a file that import reads.
    #[test]
    fn files_of_other_libraries_name_the_way_to_one_that_is_read() {
        for extension in ["tflite", "h5", "keras", "pt", "pth", "pb", "mlmodel", "pkl", "joblib"] {
            let way = way_from(extension).expect(extension);
            assert!(way.contains(".onnx") || way.contains(".safetensors"), "{extension}: {way}");
        }
        assert_eq!(way_from("csv"), None);
    }
}
