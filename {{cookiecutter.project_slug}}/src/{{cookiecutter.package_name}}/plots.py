{% include cookiecutter.example ~ '/plots.py' %}
