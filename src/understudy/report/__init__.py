"""A family becomes one self-contained page and a card for each member. Import ``understudy.report.page`` for the verbs."""
