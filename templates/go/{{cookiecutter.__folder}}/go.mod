module {{ cookiecutter.go_module }}

go 1.27
