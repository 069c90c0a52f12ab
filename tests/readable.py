"""Whether the texts of a figure can be read: none cut off, none over another."""


def texts(figure):
    """All texts that are shown, with their boxes in dots, once the figure is laid out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        found += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [label for place, label in zip(axis.get_majorticklocs(), axis.get_ticklabels())
                      if low <= place <= high]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in found
            if text.get_visible() and text.get_text()]


def check_readable(figure):
    """Nothing is cut off, and no two texts overlap."""
    shown = texts(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in shown:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, f"{text!r} is cut off"
    for i, (text, box) in enumerate(shown):
        for other, other_box in shown[:i]:
            inside = min(box.x1, other_box.x1) - max(box.x0, other_box.x0), \
                min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert min(inside) < 1.5, f"{text!r} is over {other!r}"
