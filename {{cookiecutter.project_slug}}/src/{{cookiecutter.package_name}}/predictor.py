{% include cookiecutter.example ~ '/predictor.py' %}
