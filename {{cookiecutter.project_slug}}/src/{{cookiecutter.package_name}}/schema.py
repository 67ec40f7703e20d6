{% include cookiecutter.example ~ '/schema.py' %}
