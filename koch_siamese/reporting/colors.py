"""The colors of all figures, each with one meaning.

They are from Okabe and Ito's palette, which color-blind readers can
distinguish.
"""

# Blue: images of the same class, or the right answer.
SAME = RIGHT = "#0072B2"
# Vermilion: images of different classes, or a wrong answer.
DIFFERENT = WRONG = "#D55E00"
# Green: the point to look at, such as the best epoch or the threshold.
ACCENT = "#009E73"
# Lines and points that are neither same nor different, right nor wrong.
LINE = "#333333"
# Grids, and frames of images that are neither.
FAINT = "#BBBBBB"
