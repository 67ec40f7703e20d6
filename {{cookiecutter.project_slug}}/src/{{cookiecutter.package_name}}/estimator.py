{% include cookiecutter.example ~ '/estimator.py' %}
