"""A ModelService on a file, which commands are tried on."""

RESOURCE = """\
apiVersion: modelservice.dev/v1alpha1
kind: ModelService
metadata: {name: iris}
spec:
  data: {configMap: {name: iris}, target: species}
  model: {mlp: {hiddenLayers: [8]}}
  training: {epochs: 2}
  serving: {batching: {maxSize: 7}}
"""
