// What the site says about itself.
export const name = "{{ cookiecutter.__project_name_quoted }}";
export const description = "{{ cookiecutter.__description_quoted }}";
export const tagline = "Notes, kept.";
