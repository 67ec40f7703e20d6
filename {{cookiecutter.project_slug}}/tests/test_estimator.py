{% include cookiecutter.example ~ '/test_estimator.py' %}
