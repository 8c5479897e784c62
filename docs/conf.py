"""The documentation as a site: `make docs`. The pages are Markdown that reads as well where the repository is."""

project = "Underpaint"
root_doc = "docs/contents"
extensions = ["myst_parser"]
include_patterns = [
    "docs/**",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "models/emoji/README.md",
]
exclude_patterns = ["docs/index.md"]  # it is what docs/contents begins with

myst_heading_anchors = 3
html_theme = "furo"
html_title = "Underpaint"
html_favicon = "../web/icon.svg"
html_logo = "../web/icon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["root"]  # /index.html
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#8a3d10", "color-brand-content": "#8a3d10"},
    "dark_css_variables": {"color-brand-primary": "#e0925c", "color-brand-content": "#e0925c"},
}
