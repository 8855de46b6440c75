r"""Uses of a trained model: recognition, galleries, exports.

# Recognizer

`koch_siamese.Recognizer` recognizes characters from one or more examples of
each, without training. An image is a path, the bytes of a file, an open file, a
Pillow image or a uint8 array with 0 = black and 255 = white. In scans and
photographs, the ink is found, made black on white, and cut out.

`Recognizer.pretrained()` has the model of the package.
`Recognizer("pretrained_large")` takes up to three times as long and is slightly
more accurate; `Recognizer("runs/mine")` has the model of a training.

- `add(folder)`, `add({"ka": images})`, `remove("ka")`: changes the known
  characters; the score of a character is the mean over its examples, so two
  forms of one character (a capital and a small letter) need two names. Adding
  the same examples again counts them twice; `replace=True` replaces those of
  the same names
- `classify(images, top_k=5)`: finds the name, or `None` for none of these, and
  candidates with scores and probabilities; each probability is for a candidate
  alone, so they do not add up to 1. The threshold for a name rises with the
  number of known characters, so adding a character may turn a name into `None`.
  It rises up to 20 characters (after `calibrate` with more, up to their number,
  at most 200); beyond that, more images of unknown characters get a name
- `verify(first, second)`: decides whether two images show the same, with score
  and probability
- `calibrate(folder)`: fits the thresholds to labeled images, two or more of
  each of three or more characters (better: 20, or as many as there are to
  recognize, up to 200), and reports the error rates. This helps if too few
  images of known characters, or too many of unknown ones, get a name. More
  examples of a character help only if they resemble its other images more than
  the first one does, as its score is their mean
- `evaluate(folder)`: measures how many labeled images are recognized
- `transcribe(page)`: reads a page, see below
- `embed(images)`: computes float32 embeddings
- `read(image)`, `read_labelled(folder)`: read images as the model sees them,
  for `classify_drawings`, `embed_drawings` and others, which neither clean nor
  crop them again
- `save("mine")`, `Recognizer.load("mine")`: stores everything in a new folder.
  To add to an existing one, load it first, or give `if_exists="merge"`; several
  processes may do so

An image that cannot be read raises an `InputError`, even if it is one of a
folder. To skip such images, and to keep each answer with its file:

    from pathlib import Path

    from koch_siamese import InputError, Recognizer

    recognizer = Recognizer.pretrained().add("known")
    drawings = {}
    for path in sorted(Path("new").glob("*.jpg")):
        try:
            drawings[path] = recognizer.read(path)
        except InputError as error:
            print(error)
    answers = recognizer.classify_drawings(list(drawings.values()))
    for path, answer in zip(drawings, answers):
        print(path, answer.name)

With more than 100,000 images, an index proposes the images to compare (extra
`index`).

Photographs should show paper on all sides. `--figure` shows what was cut out.
The extra `pages` removes the desk around the paper and ruled lines. For printed
letters of one font and size, `crop=False` (`--nocrop`) may name more images.

# On the command line

    python -m koch_siamese.classify --support=known --query=new
    python -m koch_siamese.verify --first=a.jpg --second=b.jpg

`--json` prints a line for each image, `--top_k=5` lists more candidates,
`--figure=answers.png` draws what was read, `--threshold=2.5` replaces the
model's threshold. `--gallery=mine` stores the known characters with the model
(`--gallery=known.npz` without it); `--support` adds to it and replaces
characters of the same name, `--remove=ka` removes one. `--nocrop` does not cut
images to their ink. `--model=mine` takes what `Recognizer.save` wrote, such as
the thresholds that `calibrate` fitted to your images; so do `evaluate` and
`export`.

# Pages

    python -m koch_siamese.transcribe --page=page.jpg --support=known

reads a page, a PDF, or a folder of them (extra `pages`), from one example of
each symbol. It prints a line of text for each line of the page: one name for
each symbol, `?` for none of the known ones, with spaces between names of more
than one letter. `Recognizer.transcribe("page.jpg")` returns the same, with the
box and the answer of each symbol.

- `--figure=read.png`: the page with boxes and names; a folder for several
  pages
- `--json`: a line for each page: `{"page": ..., "lines": [[{"box": [left, top,
  right, bottom], "character": ..., "best": ..., "score": ..., "probability":
  ...}]]}`, boxes in pixels of the upright page
- `--xml=page.xml`: PAGE XML (2019) for transcription tools
- `--direction=rtl` or `ttb`: lines from right to left, or columns, the right
  one first
- `--threshold=-100`: names every symbol
- `--discover=groups`: needs no example; writes a folder for each group of
  similar symbols, the clearest first, and a picture of all, `groups.png`.
  Rename the folders and give `groups` as `--support`
- `--review=checked`: writes doubtful symbols to `checked/doubtful/NAME`, by
  best guess. Move those that you have checked to `checked/confirmed/NAME` and
  run the command again: they keep that name and serve as examples, and symbols
  of their page that look like them get it, too

The symbols of a page are recognized together: those that look alike get the
same name, and others different names, as far as possible. Their scores are
means over those that look alike, and a runner-up may score higher than the
best guess if it suits other symbols better. Only the shape of a symbol counts:
a comma and an apostrophe, or `o` and `O`, are the same. A wide gap starts a
new word.

# Exports

    python -m koch_siamese.export --workdir=W --output=DIR \
        --formats=saved_model,litert,onnx

A SavedModel has the signatures `embed`, `verify`, `classify` and `match`.
LiteRT and ONNX (extra `export`) have three files: `embedding`, `verification`,
and `matching`, which compares embeddings and returns -1 for none of these.
Each file is run without this package and compared with the model before it is
put in place. It contains the image convention, thresholds and the model card:
ONNX in its properties, LiteRT in `metadata.json` (`unzip -p embedding.tflite
metadata.json`), a SavedModel in `assets.extra/`. Exported models neither clean
nor crop images. They pad images of any shape to a square with white, and do not
stretch them.

experiments/exported_model.py recognizes photographs by the ONNX files, without
TensorFlow and Keras:

    python -m koch_siamese.export --output=onnx_files --formats=onnx
    python experiments/exported_model.py onnx_files known new/*.jpg
"""
