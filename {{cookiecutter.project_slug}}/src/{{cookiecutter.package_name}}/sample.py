{% include cookiecutter.example ~ '/sample.py' %}
